import pytest
import torch
from torch import nn

from kit.models.heads import (
    AMSoftmax,
    AMSoftmaxHead,
    Cosine,
    CosineHead,
    HiddenHead,
    Linear,
    LinearHead,
    NormHead,
    class_means,
    mix_directions,
    mix_prototypes,
)

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


def test_scales_are_the_sources():
    assert Cosine().make(2, 3).scale == 16.0
    head = AMSoftmax().make(2, 3)
    assert (head.scale, head.margin) == (30.0, 0.2)


def test_fields_reach_the_layers():
    head = AMSoftmax(scale=20.0, margin=0.3).make(2, 3)
    assert (head.scale, head.margin, head.weight.shape) == (20.0, 0.3, (3, 2))
    assert Cosine(scale=8.0).make(2, 3).scale == 8.0
    assert HiddenHead(dropout=0.4).make(4, 3)[3].p == 0.4


def test_margin_grows_over_the_warm_up_by_hand():
    head = AMSoftmax(margin=0.2, warmup_steps=4)
    assert [head.margin_at(step) for step in (0, 1, 4, 9)] == pytest.approx([0, 0.05, 0.2, 0.2])
    assert AMSoftmax(margin=0.3).margin_at(0) == 0.3


@pytest.mark.parametrize(
    "part, fields, message",
    [
        (Cosine, {"scale": 0.0}, "scale must be above 0, got 0.0"),
        (AMSoftmax, {"scale": -3.0}, "scale must be above 0, got -3.0"),
        (AMSoftmax, {"margin": 1.0}, r"margin must be in \[0, 1\), got 1.0"),
        (AMSoftmax, {"margin": -0.1}, r"margin must be in \[0, 1\), got -0.1"),
        (AMSoftmax, {"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        (HiddenHead, {"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(part, fields, message):
    with pytest.raises(ValueError, match=message):
        part(**fields)


class TestClassifiers:
    def test_the_sources_layers_in_its_order(self):
        names = [type(layer).__name__ for layer in HiddenHead().make(160, 600)]
        assert names == ["EmbeddingNorm", "Linear", "ReLU", "Dropout", "Linear"]
        assert [type(layer).__name__ for layer in NormHead().make(160, 600)] == ["EmbeddingNorm", "Linear"]
        hidden, classifier = 160 * 160 + 160, 160 * 600 + 600
        for part, n_weights in ((HiddenHead(), 2 * 160 + hidden + classifier), (NormHead(), 2 * 160 + classifier)):
            assert sum(weight.numel() for weight in part.make(160, 600).parameters()) == n_weights

    def test_norm_and_linear_by_hand(self):
        """z of 1 and 3: mean 2, deviation 1 (of the whole batch), so −1 and 1, to within eps."""
        head = NormHead().make(1, 2)
        head[1].weight.data, head[1].bias.data = torch.tensor([[2.0], [-1.0]]), torch.tensor([0.5, 0.0])
        expected = torch.tensor([[-1.5, 1.0], [2.5, -1.0]])
        torch.testing.assert_close(head(torch.tensor([[1.0], [3.0]])), expected, atol=1e-4, rtol=0)

    def test_hidden_layer_by_hand(self):
        """Of −1 and 1 after the norm, ReLU leaves 0 and 3."""
        head = HiddenHead(dropout=0.0).make(1, 1)
        head[1].weight.data.fill_(3.0)
        head[4].weight.data.fill_(10.0)
        for layer in (head[1], head[4]):
            layer.bias.data.zero_()
        logits = head(torch.tensor([[1.0], [3.0]]))
        torch.testing.assert_close(logits, torch.tensor([[0.0], [30.0]]), atol=1e-3, rtol=0)

    @pytest.mark.parametrize("part", [HiddenHead(dropout=0.0), NormHead()])
    def test_a_training_batch_of_one_takes_the_running_statistics(self, part):
        head, z = part.make(4, 3), torch.randn(1, 4)
        head(torch.randn(8, 4))
        mean = head[0].running_mean.clone()
        alone = head(z)
        torch.testing.assert_close(alone, head.eval()(z))
        assert torch.equal(head[0].running_mean, mean)

    def test_batch_norm_of_z_is_torchs(self):
        norm, torchs = NormHead().make(5, 3)[0], nn.BatchNorm1d(5)
        z = torch.randn(7, 5)
        assert torch.equal(norm(z), torchs(z)) and torch.equal(norm.running_var, torchs.running_var)


@pytest.mark.parametrize("part", [Linear(), Cosine(), NormHead(), HiddenHead()])
def test_parts_without_margin_return_their_logits(part):
    logits = torch.randn(4, 3)
    assert part.make(2, 3).with_margin(logits, torch.tensor([1, 0, 2, 1]), 0.2) is logits


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
