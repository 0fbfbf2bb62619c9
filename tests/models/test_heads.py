import pytest
import torch

from kit.models.heads import AMSoftmaxHead, CosineHead, LinearHead, class_means, mix_directions, mix_prototypes

Z = torch.tensor([[3.0, 4.0]])  # cosines 0.6 and 0.8 to the axes


def on_axes(head):
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    return head


def test_linear_by_hand():
    head = on_axes(LinearHead(2, 2))
    head.bias.data = torch.tensor([0.5, -0.5])
    torch.testing.assert_close(head(Z), torch.tensor([[3.5, 7.5]]))


def test_cosine_by_hand():
    torch.testing.assert_close(on_axes(CosineHead(2, 2))(Z), torch.tensor([[9.6, 12.8]]))  # 16 · cos


def test_am_softmax_by_hand():
    head = on_axes(AMSoftmaxHead(2, 2))
    logits = head(Z)
    torch.testing.assert_close(logits, torch.tensor([[18.0, 24.0]]))  # 30 · cos, no margin
    torch.testing.assert_close(head.with_margin(logits, torch.tensor([0])), torch.tensor([[12.0, 24.0]]))  # − 30 · 0.2
    torch.testing.assert_close(head.with_margin(logits, torch.tensor([1]), 0.1), torch.tensor([[18.0, 21.0]]))


def test_am_softmax_of_soft_targets_by_hand():
    head = on_axes(AMSoftmaxHead(2, 2))
    with_margin = head.with_margin(head(Z), torch.tensor([[0.25, 0.75]]), 0.2)
    torch.testing.assert_close(with_margin, torch.tensor([[16.5, 19.5]]))  # 18 − 6 / 4, 24 − 6 · 3 / 4


def test_margin_touches_only_the_true_class():
    head, z, target = AMSoftmaxHead(8, 5), torch.randn(4, 8), torch.tensor([0, 2, 4, 1])
    logits = head(z)
    before = logits.clone()
    difference = logits - head.with_margin(logits, target, 0.3)
    torch.testing.assert_close(difference, 9.0 * torch.eye(5)[target], atol=1e-5, rtol=0)
    assert torch.equal(logits, before)


def test_margin_of_class_numbers_is_that_of_their_one_hot_rows():
    head, logits, target = AMSoftmaxHead(8, 5), torch.randn(4, 5), torch.tensor([0, 2, 4, 1])
    assert torch.equal(head.with_margin(logits, target), head.with_margin(logits, torch.eye(5)[target]))


def test_margin_may_be_a_tensor_and_zero_changes_nothing():
    head, logits, target = AMSoftmaxHead(8, 5), torch.randn(4, 5), torch.tensor([0, 2, 4, 1])
    assert torch.equal(head.with_margin(logits, target, torch.tensor(0.0)), logits)


@pytest.mark.parametrize("head", [LinearHead(2, 2), CosineHead(2, 2)])
def test_heads_without_margin_return_their_logits(head):
    logits = head(Z)
    assert head.with_margin(logits, torch.tensor([1]), 0.2) is logits


@pytest.mark.parametrize("head", [CosineHead(2, 3), AMSoftmaxHead(2, 3)])
def test_length_of_z_does_not_matter(head):
    torch.testing.assert_close(head(Z), head(100 * Z))


def test_cosines_are_float32_under_autocast():
    head, z = AMSoftmaxHead(64, 10), torch.randn(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(z)
    assert torch.equal(logits, head(z))


@pytest.mark.parametrize("head", [CosineHead, AMSoftmaxHead])
@pytest.mark.parametrize("scale", [0.0, -3.0])
def test_scale_must_be_positive(head, scale):
    with pytest.raises(ValueError, match=f"scale must be > 0, got {scale}"):
        head(4, 3, scale=scale)


@pytest.mark.parametrize("margin", [1.0, -0.1])
def test_margin_must_be_a_fraction(margin):
    with pytest.raises(ValueError, match=rf"margin must be in \[0, 1\), got {margin}"):
        AMSoftmaxHead(4, 3, margin=margin)


def test_class_means_by_hand():
    z = torch.tensor([[1.0, 2.0], [5.0, 5.0], [3.0, 6.0]])
    assert class_means(z, torch.tensor([1, 0, 1]), 2).tolist() == [[5, 5], [2, 4]]


def test_a_class_without_embeddings_is_named():
    z = torch.randn(3, 2)
    with pytest.raises(ValueError, match="target must hold each class from 0 to 2, got 0 of class 1"):
        class_means(z, torch.tensor([0, 2, 2]), 3)
    with pytest.raises(ValueError, match="target must hold each class from 0 to 1, got 2 of class 2"):
        class_means(z, torch.tensor([0, 2, 2]), 2)


def test_mixtures_of_directions_by_hand():
    """Lengths 5 and 2: 0.75 · (0.6, 0.8) + 0.25 · (1, 0)."""
    own, other = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]])
    torch.testing.assert_close(mix_directions(own, other, 0.25), torch.tensor([[0.7, 0.6]]))
    mixed = mix_prototypes(own, other, 0.25)
    torch.testing.assert_close(mixed, torch.tensor([[0.7, 0.6]]) / 0.85**0.5)


def test_prototypes_mixed_by_0_and_1_are_the_ones_and_the_others():
    own, other = torch.randn(4, 8), torch.randn(4, 8)
    before = own.clone()
    for w, whole in ((0.0, own), (1.0, other)):
        torch.testing.assert_close(mix_prototypes(own, other, w), whole / whole.norm(dim=1, keepdim=True))
    torch.testing.assert_close(mix_prototypes(own, other, 0.3).norm(dim=1), torch.ones(4))
    assert torch.equal(own, before)
