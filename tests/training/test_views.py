"""The terms of LPCViews against numbers worked out by hand, and their laws."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from kit.models.conformer import Conformer
from kit.models.heads import Cosine, CosineHead
from kit.models.net import Net
from kit.training.views import LPCViews, groups_of, recombination_loss, shuffled_within, swap_residuals, view_losses

OFF = {"formant": 0.0, "residual": 0.0, "instance": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def on_axes(scale=1.0):
    """A head of two classes whose prototypes are the axes."""
    head = CosineHead(2, 2, scale)
    head.weight.data = torch.eye(2)
    return head


def terms(z, target=(0, 1), seed=0, **options):
    """The terms of a net whose every head is on the axes, and the plain cross-entropy of a head."""
    views = LPCViews(**{**OFF, **options})
    net = SimpleNamespace(head=on_axes(), view_heads={name: on_axes() for name in ("formant", "residual", "swap")})
    target = torch.tensor(target)
    return view_losses(
        views, net, torch.tensor(z), target, lambda head, z: functional.cross_entropy(head(z), target), generator(seed)
    )


E, F, R = [[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [0.0, 1.0]], [[3.0, 4.0], [5.0, 0.0]]


def two_way(right, wrong):
    """Cross-entropy of two logits."""
    return math.log(1 + math.exp(wrong - right))


class TestByHand:
    def test_formant_and_residual_have_their_own_weights(self):
        """cos to the axes: f (0, 1), (0, 1); r (0.6, 0.8), (1, 0); targets 0 and 1."""
        found = terms(E + F + R, formant=1.0, residual=0.5)
        assert set(found) == {"formant", "residual"}
        assert found["formant"].item() == pytest.approx((two_way(0, 1) + two_way(1, 0)) / 2)
        assert found["residual"].item() == pytest.approx(0.5 * (two_way(0.6, 0.8) + two_way(0, 1)) / 2)

    def test_recombination(self):
        """f + r = (3, 7) beside (1, 0), and (5, 1) beside (0, 2)."""
        cosines = 3 / math.sqrt(58), 1 / math.sqrt(26)
        found = terms(E + F + R, recombination=0.25)["recombination"].item()
        assert found == pytest.approx(0.25 * (1 - sum(cosines) / 2))

    def test_instance_level_classifies_the_mixtures_and_not_the_views(self):
        """ê 0.75 with f̂, r̂ 0.25; f̂ and r̂ alone, the source's documented error, would give another number."""
        found = terms(E + F + R, instance=0.25)["instance"].item()
        e_f = [(0.75, 0.25), (0.0, 1.0)]
        e_r = [(0.75 + 0.25 * 0.6, 0.25 * 0.8), (0.25, 0.75)]
        by_hand = 0.0
        for (x, y), target in zip([*e_f, *e_r], [0, 1, 0, 1], strict=True):
            logits = x / math.hypot(x, y), y / math.hypot(x, y)
            by_hand += two_way(logits[target], logits[1 - target]) / 2
        assert found == pytest.approx(0.25 * by_hand)
        views = sum(functional.cross_entropy(on_axes()(torch.tensor(view)), torch.tensor([0, 1])) for view in (F, R))
        assert found != pytest.approx(0.25 * views.item(), rel=0.05)

    def test_swap_takes_the_residual_of_the_least_or_most_similar_other(self):
        """cos to the first, itself left out: 0.8 of the second, 0 of the third."""
        e = torch.tensor([[2.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        r = torch.tensor([[0.0, 1.0], [3.0, 0.0], [-1.0, 0.0]])
        least, most = swap_residuals(e, r, "least"), swap_residuals(e, r, "most")
        torch.testing.assert_close(least, torch.tensor([[0.0, -1.0], [-1.2, 0.6], [1.0, 2.0]]))
        torch.testing.assert_close(most, torch.tensor([[2.0, -1.0], [-0.2, 1.6], [2.0, 1.0]]))

    def test_swap_is_classified_by_its_own_prototypes(self):
        """Each of two takes the other's residual: ê − r̂ + r̂[j] = (1.4, −0.8) and (−0.4, 1.8)."""
        found = terms(E + F + R, swap="least", swap_weight=2.0)["swap"].item()
        first, second = math.hypot(1.4, 0.8), math.hypot(0.4, 1.8)
        by_hand = two_way(1.4 / first, -0.8 / first) + two_way(1.8 / second, -0.4 / second)
        assert found == pytest.approx(by_hand)

    def test_shuffled_recombination_of_one_class(self):
        """Seed 0 draws what it draws; the term is the recombination loss of that draw, f and r each by their own."""
        z = torch.randn(24, 2).tolist()
        found = terms(z, [0] * 8, shuffled=0.5)["shuffled"].item()
        of_f, of_r = (shuffled_within(torch.zeros(8).long(), one) for one in torch.rand(2, 8, generator=generator()))
        e, f, r = torch.tensor(z).chunk(3)
        assert not torch.equal(of_f, of_r)
        assert found == pytest.approx(0.5 * recombination_loss(e, f[of_f], r[of_r]).item())
        assert found != pytest.approx(0.5 * recombination_loss(e, f, r).item(), rel=1e-3)


class TestLaws:
    def test_recombination_is_0_where_f_and_r_add_up_to_the_direction_of_e(self):
        f, r = torch.randn(5, 8), torch.randn(5, 8)
        assert recombination_loss(3 * (f + r), f, r).item() == pytest.approx(0, abs=1e-6)
        assert recombination_loss(-(f + r), f, r).item() == pytest.approx(2, abs=1e-6)

    def test_weights_of_0_leave_nothing(self):
        assert terms(E + F + R) == {}

    def test_the_shuffle_keeps_classes_and_reaches_every_other_of_the_class(self):
        group, draws, met = torch.tensor([2, 0, 2, 1, 2, 0]), generator(), torch.zeros(6, 6)
        for _ in range(600):
            perm = shuffled_within(group, torch.rand(6, generator=draws))
            assert sorted(perm.tolist()) == list(range(6)) and torch.equal(group[perm], group)
            met[torch.arange(6), perm] += 1
        same = group[:, None] == group
        assert (met[~same] == 0).all() and met[3, 3] == 600
        assert (met[1, [1, 5]] - 300).abs().max() < 60 and (met[0, [0, 2, 4]] - 200).abs().max() < 60  # sd 12

    def test_alone_in_its_class_a_shuffle_is_none(self):
        found = terms(E + F + R, recombination=1.0, shuffled=1.0)
        assert found["shuffled"].item() == pytest.approx(found["recombination"].item())

    def test_rows_of_one_group_have_one_target(self):
        assert groups_of(torch.tensor([3, 1, 3])).tolist() == [3, 1, 3]
        found = groups_of(torch.tensor([[1, 0, 1], [0.5, 0.5, 0], [1, 0, 1], [0, 0.5, 0.5]]))
        assert found[0] == found[2] and len(set(found.tolist())) == 3

    def test_one_alone_keeps_its_residual(self):
        e, r = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])
        for which in ("least", "most"):
            torch.testing.assert_close(swap_residuals(e, r, which), torch.tensor([[0.6, 0.8]]))

    def test_lengths_of_embeddings_do_not_matter_but_in_the_sum_of_f_and_r(self):
        options = {"formant": 1.0, "residual": 1.0, "instance": 0.1, "swap": "most"}
        z, lengths = torch.randn(12, 2), torch.rand(12, 1) + 0.5
        one, two = (terms(rows.tolist(), [0, 1, 1, 0], **options) for rows in (z, z * lengths))
        for name, value in one.items():
            torch.testing.assert_close(value, two[name])

    def test_soft_targets_are_classified_as_they_are(self):
        """Of a batch mixed by λ = 1 nothing changes; labels (B, C) take the place of class numbers."""
        options = {"formant": 1.0, "shuffled": 1.0, "swap": "least", "instance": 0.1}
        hard, soft = (terms(E + F + R, target, **options) for target in ([0, 1], [[1.0, 0.0], [0.0, 1.0]]))
        for name, value in hard.items():
            torch.testing.assert_close(value, soft[name])

    def test_every_view_and_head_gets_a_gradient(self):
        views, conformer = LPCViews(swap="most"), Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)
        net = Net(conformer, head=Cosine()).make(20, 4, 30, views=views.heads())
        target = torch.tensor([0, 3])
        mel = torch.randn(6, 30, 20, requires_grad=True)
        z = net.embed(mel)
        losses = view_losses(
            views, net, z, target, lambda head, z: functional.cross_entropy(head(z), target), generator()
        )
        sum(losses.values()).backward()
        assert all(weight.grad is not None and weight.grad.any() for weight in net.view_heads.parameters())
        assert mel.grad.flatten(1).abs().sum(1).min() > 0
