"""Mixup against numbers worked out by hand, its laws, the source's two passes, and scipy's Beta."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.nn import functional

from kit.data.batch import Batch
from kit.data.features import Wave
from kit.data.mix_plan import MixPlan, stretched
from kit.data.mixup import ALPHAS, MixDrawer, Mixup, mix_drawer, mixup_accuracy
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmaxHead, LinearHead
from kit.models.net import Net
from kit.models.pooling import Statistics
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer
from kit.parts import Part
from kit.training.losses import BCE, CrossEntropy

SMALL = Conformer(width=16, layers=2, heads=2, ff_width=32, kernel_size=5)
STACKED = Conformer(width=16, layers=2, heads=2, ff_width=32, kernel_size=5, frame_stack=3)
NETS = {
    "conformer": Net(SMALL),
    "transformer": Net(Transformer(width=16, layers=2, heads=2, ff_width=32)),
    "stacked, statistics": Net(STACKED, Statistics()),
    **{name: Net(Timm(name)) for name in ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")},
}
NAN = float("nan")


def built(net, n_mels=40, frames=48, channels=0):
    return net.make(n_mels, 5, frames, channels)


def classification_loss(logits, target, label_smoothing=0.0):
    return CrossEntropy(label_smoothing)(logits, Batch(logits, None, target, logits))


LAMS = {"batch": torch.tensor(0.3), "row": torch.tensor([0.3, 0.9, 0.0, 1.0])}


def plan_of(lam, perm=(1, 0), place="input"):
    return MixPlan(torch.tensor(lam), torch.tensor(perm), place)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestByHand:
    def test_mixture(self):
        h = torch.tensor([[1.0, 2.0], [5.0, 10.0]])
        torch.testing.assert_close(plan_of(0.75).apply(h), torch.tensor([[2.0, 4.0], [4.0, 8.0]]))
        torch.testing.assert_close(plan_of([0.75, 0.5]).apply(h), torch.tensor([[2.0, 4.0], [3.0, 6.0]]))

    def test_target_of_class_numbers(self):
        mixed = plan_of(0.75).target(torch.tensor([0, 2]), 3)
        torch.testing.assert_close(mixed, torch.tensor([[0.75, 0, 0.25], [0.25, 0, 0.75]]))

    def test_target_of_labels(self):
        mixed = plan_of(0.75).target(torch.tensor([[1, 1, 0], [0, 1, 1]]), 3)
        torch.testing.assert_close(mixed, torch.tensor([[0.75, 1, 0.25], [0.25, 1, 0.75]]))

    def test_loss_of_single_labels(self):
        logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]]))
        loss = classification_loss(logits, plan_of(0.75).target(torch.tensor([0, 1]), 3))
        first = 0.75 * -math.log(0.7) + 0.25 * -math.log(0.2)
        second = 0.75 * -math.log(0.25) + 0.25 * -math.log(0.5)
        assert loss.item() == pytest.approx((first + second) / 2)

    def test_loss_of_labels(self):
        """ℓ(p, λ y + (1 − λ) y[π]) with binary cross-entropy."""
        target = plan_of(0.75).target(torch.tensor([[1, 0], [0, 0]]), 2)
        loss = functional.binary_cross_entropy(torch.tensor([[0.8, 0.5], [0.5, 0.5]]), target)
        first = -0.75 * math.log(0.8) - 0.25 * math.log(0.2)
        assert loss.item() == pytest.approx((first + 3 * math.log(2)) / 4)

    def test_margin(self):
        """s·(cos − m·y) with y = 3/4 and 1/4: 30 · 0.2 · 3/4 = 4.5 and 1.5."""
        logits = torch.tensor([[18.0, 24.0], [0.0, 30.0]])
        target = plan_of(0.75).target(torch.tensor([0, 1]), 2)
        mixed = AMSoftmaxHead(2, 2).with_margin(logits, target, 0.2)
        torch.testing.assert_close(mixed, torch.tensor([[13.5, 22.5], [-1.5, 25.5]]))

    def test_accuracy(self):
        """Likeliest 2, 2, 0: of their own classes 2, 0, 1 one is right, of others' 0, 1, 2 none, of 1, 2, 0 two."""
        logits, target = torch.eye(3)[[2, 2, 0]], torch.tensor([2, 0, 1])
        plan = plan_of([0.75, 0.75, 0.5], perm=(1, 2, 0))
        assert mixup_accuracy(logits, target, plan).tolist() == [0.75, 0, 0]
        assert mixup_accuracy(logits, target, plan_of(0.75, perm=(2, 0, 1))).tolist() == [0.75, 0.25, 0.25]
        assert mixup_accuracy(logits, target, None).tolist() == [1, 0, 0]

    def test_mask_is_true_where_either_half_is(self):
        mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
        _, mixed = plan_of(0.5, perm=(1, 0, 2)).mix("input", torch.zeros(3, 3, 1), mask)
        assert mixed.tolist() == [[True, True, False], [True, True, False], [True, True, True]]


class TestLaws:
    @pytest.mark.parametrize("lam", [0.3, [0.3, 0.9, 0.5]])
    def test_a_repeated_plan_mixes_each_block_as_the_plan_does(self, lam):
        plan, blocks = plan_of(lam, perm=(2, 0, 1)), torch.randn(4, 3, 5)
        mixed = plan.repeated(4).apply(blocks.flatten(0, 1))
        torch.testing.assert_close(mixed, torch.cat([plan.apply(block) for block in blocks]))
        assert plan.repeated(4).place == plan.place

    @pytest.mark.parametrize("lam", [1.0, [1.0, 1.0]])
    def test_lam_one_changes_nothing(self, lam):
        h, target = torch.randn(2, 3, 4), torch.tensor([0, 2])
        plan = plan_of(lam)
        assert torch.equal(plan.apply(h), h)
        assert torch.equal(plan.target(target, 3), torch.eye(3)[target])

    def test_lam_zero_gives_the_other(self):
        h = torch.randn(2, 3, 4)
        assert torch.equal(plan_of(0.0).apply(h), h.flip(0))

    @pytest.mark.parametrize("lam", [0.3, [0.3, 0.6]])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("shape", [(2,), (2, 5), (2, 3, 4, 5)])
    def test_shape_and_dtype_are_kept_and_the_input_is_untouched(self, lam, dtype, shape):
        h = torch.randn(shape, dtype=dtype)
        before, plan = h.clone(), plan_of(lam)
        mixed = plan.apply(h)
        assert mixed.shape == h.shape and mixed.dtype == dtype
        assert torch.equal(h, before) and not torch.equal(mixed, h)

    def test_other_places_and_batches_without_mask_go_on_as_they_are(self):
        h, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
        same, same_mask = plan_of(0.3, place="layer1").mix("layer2", h, mask)
        assert same is h and same_mask is mask
        assert plan_of(0.3).mix("input", h, None)[1] is None

    def test_shares_of_classes_sum_to_one(self):
        plan = MixDrawer(("input",), per_row=True).draw(20, 1, generator())
        shares = plan.target(torch.randint(5, (20,)), 5)
        torch.testing.assert_close(shares.sum(1), torch.ones(20))
        assert (shares >= 0).all()

    def test_gradient_of_a_row_is_what_it_gave_to_both_mixtures(self):
        h = torch.randn(3, 2, requires_grad=True)
        plan_of([0.75, 0.5, 0.2], perm=(1, 2, 0)).apply(h).sum().backward()
        torch.testing.assert_close(h.grad[:, 0], torch.tensor([0.75 + 0.8, 0.5 + 0.25, 0.2 + 0.5]))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("lam", LAMS)
def test_loss_of_the_mixed_target_is_the_mixed_loss(lam, label_smoothing):
    """λ·ℓ(p, y) + (1 − λ)·ℓ(p, y[π]) for cross-entropy, with a margin on the mixed target in p."""
    plan, target = MixPlan(LAMS[lam], torch.tensor([2, 0, 3, 1]), "input"), torch.tensor([0, 4, 2, 4])
    for head in (LinearHead(8, 5), AMSoftmaxHead(8, 5)):
        shares = plan.target(target, 5)
        p = head.with_margin(head(torch.randn(4, 8)), shares, 0.2)
        own, other = (
            functional.cross_entropy(p, y, reduction="none", label_smoothing=label_smoothing)
            for y in (target, target[plan.perm])
        )
        by_two = (plan.lam * own + (1 - plan.lam) * other).mean()
        torch.testing.assert_close(classification_loss(p, shares, label_smoothing), by_two)


class TestDraws:
    def test_same_seed_same_plan(self):
        mixup = MixDrawer(("input", "layer1", "layer2"), per_row=True)
        one, two, other = (mixup.draw(50, 1, generator(seed)) for seed in (3, 3, 4))
        assert torch.equal(one.lam, two.lam) and torch.equal(one.perm, two.perm) and one.place == two.place
        assert not torch.equal(one.lam, other.lam) and not torch.equal(one.perm, other.perm)

    def test_perm_is_a_permutation_and_every_item_meets_every_other(self):
        mixup, draws, met = MixDrawer(("input",)), generator(), torch.zeros(4, 4)
        for _ in range(400):
            perm = mixup.draw(4, 1, draws).perm
            assert sorted(perm.tolist()) == [0, 1, 2, 3]
            met[torch.arange(4), perm] += 1
        assert (met - 100).abs().max() < 35  # sd 8.7

    @pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 2.0])
    @pytest.mark.parametrize("per_row", [False, True])
    def test_lam_is_beta(self, alpha, per_row):
        mixup, draws = MixDrawer(("input",), alpha, per_row=per_row), generator()
        if per_row:
            lam = mixup.draw(4000, 1, draws).lam
            assert lam.shape == (4000,)
        else:
            lam = torch.stack([mixup.draw(2, 1, draws).lam for _ in range(2000)])
        assert lam.dtype == torch.float32 and ((lam >= 0) & (lam <= 1)).all()
        beta = stats.beta(alpha, alpha)
        assert lam.mean().item() == pytest.approx(beta.mean(), abs=5 * beta.std() / len(lam) ** 0.5)
        assert lam.var().item() == pytest.approx(beta.var(), rel=0.1)
        for x in (0.001, 0.1, 0.5, 0.9, 0.999):
            below = (lam < x).double().mean().item()
            assert below == pytest.approx(beta.cdf(x), abs=5 * 0.5 / len(lam) ** 0.5)

    def test_places_are_equally_likely(self):
        mixup, draws = MixDrawer(("input", "layer1", "layer2", "final")), generator()
        counts = pd.Series([mixup.draw(2, 1, draws).place for _ in range(2000)]).value_counts()
        assert set(counts.index) == set(mixup.places)
        assert stats.chisquare(counts).pvalue > 1e-3

    def test_share_of_batches_that_are_mixed(self):
        draws = generator()
        mixed = [MixDrawer(("input",), probability=0.3).draw(2, 1, draws) is not None for _ in range(1000)]
        assert sum(mixed) == pytest.approx(300, abs=75)  # sd 14.5
        assert all(MixDrawer(("input",)).draw(2, 1, draws) for _ in range(50))
        assert not any(MixDrawer(("input",), probability=0.0).draw(2, 1, draws) for _ in range(50))

    def test_epoch_window_holds_both_its_ends(self):
        def mixed(**window):
            mixup = MixDrawer(("input",), **window)
            return [epoch for epoch in range(1, 7) if mixup.draw(2, epoch, generator())]

        assert mixed() == [1, 2, 3, 4, 5, 6]
        assert mixed(from_epoch=3) == [3, 4, 5, 6]
        assert mixed(from_epoch=2, until_epoch=4) == [2, 3, 4]


def two_passes(net, mel, mask, plan):
    """The source's way: the first stages on x, and again on x[π]; the rest on the mixture."""
    names = ("input", *net.stage_names)
    first = names[: names.index(plan.place) + 1] if plan.place in names else names
    halves = [(mel, mask), (mel[plan.perm], None if mask is None else mask[plan.perm])]
    for name in first[1:]:
        halves = [net.stages[name](*half) for half in halves]
    lam = plan.lam.reshape(-1, *[1] * (halves[0][0].dim() - 1))
    if plan.place == "embedding":
        one, two = (net.hidden(net.pooling(*half)) for half in halves)
        return lam.view(-1, 1) * one + (1 - lam.view(-1, 1)) * two
    (one, one_mask), (two, two_mask) = halves
    h = lam * one + (1 - lam) * two
    if mask is not None:
        share = plan.lam.view(-1, 1)
        mask = (one_mask & (share > 0)) | (two_mask & (share < 1))
    for name in names[len(first) :]:
        h, mask = net.stages[name](h, mask)
    return net.hidden(net.pooling(h, mask))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_one_pass_is_the_sources_two(name, masked):
    net = built(NETS[name])
    mel, mask = torch.randn(4, 48, 40), torch.arange(48) < torch.tensor([[48], [31], [9], [40]])
    net(mel, mask)  # batch norms have seen something
    net, mask = net.eval(), mask if masked else None
    with torch.inference_mode():
        plain = net.embed(mel)
        for place in ("input", *net.stage_names, "embedding"):
            for lam in LAMS.values():
                plan = MixPlan(lam, torch.tensor([2, 3, 1, 0]), place)
                logits, z = net(mel, mask, plan.mix)
                torch.testing.assert_close(z, two_passes(net, mel, mask, plan), atol=1e-5, rtol=1e-5)
                assert torch.equal(logits, net.head(z))
                assert not torch.allclose(z, plain, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_mixed_training_reaches_every_weight(name):
    net = built(NETS[name])
    plan = MixPlan(torch.tensor(0.5), torch.tensor([1, 2, 0]), net.stage_names[1])
    net(torch.randn(3, 40, 40), None, plan.mix)[0].square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.requires_grad and weight.grad is None] == []


@pytest.mark.parametrize(("name", "per_row"), [("conformer", False), ("test_resnet", True)])
def test_compiles_to_one_graph_a_place(name, per_row):
    torch._dynamo.reset()
    net = built(NETS[name]).eval()
    mel, mask = torch.randn(4, 40, 40), torch.arange(40) < torch.tensor([[40], [33], [20], [8]])
    draws, counter = generator(), Counter()
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    places = ("stem", "embedding")
    for _ in range(2):
        for place in places:
            plan = MixDrawer((place,), per_row=per_row).draw(4, 1, draws)
            torch.testing.assert_close(compiled(mel, mask, plan.mix), net(mel, mask, plan.mix))
    assert counter.graphs == len(places)


class Counter:
    """The eager backend, counting what it is given."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


class TestPlacesOfANet:
    STAGES, PLACES = ("stem", "layer1", "layer2", "final"), ("input", "layer1")

    def drawn(self, waves=False, **fields):
        return Mixup(**fields).drawer(self.PLACES, self.STAGES, waves)

    @pytest.mark.parametrize(
        ("place", "places", "alpha"),
        [("input", ("input",), 1.0), ("manifold", PLACES, 1.0), ("last_layer", ("final",), 0.1),
         ("embedding", ("embedding",), 0.1)],
    )  # fmt: skip
    def test_each_has_its_places_and_alpha(self, place, places, alpha):
        assert self.drawn(place=place) == MixDrawer(places, alpha, last=("final",))
        assert self.drawn(place=place, alpha=0.4).alpha == 0.4

    def test_waves(self):
        assert self.drawn(waves=True, place="wave").places == ("wave",)
        assert set(ALPHAS) == {"input", "wave", "manifold", "last_layer", "embedding"}

    def test_every_field_arrives(self):
        drawer = self.drawn(alpha=2.0, probability=0.5, per_row=True, places=("layer1", "final"), from_epoch=2,
                            until_epoch=7)  # fmt: skip
        assert drawer == MixDrawer(("layer1", "final"), 2.0, 0.5, True, 2, 7, ("final",))

    def test_a_lam_that_does_not_change_and_the_labels_arrive_in_the_plans(self):
        drawer = self.drawn(place="input", lam=0.5, labels="union", per_row=True)
        plans = [drawer.draw(4, 1, generator(seed)) for seed in range(3)]
        assert {plan.lam.item() for plan in plans} == {0.5} and {plan.labels for plan in plans} == {"union"}
        assert len({tuple(plan.perm.tolist()) for plan in plans}) > 1

    def test_clips_are_stretched_at_the_last_map_alone(self):
        plans = [self.drawn(place=place).draw(4, 1, generator()) for place in ("input", "last_layer", "embedding")]
        assert [plan.stretch for plan in plans] == [False, True, False]

    def test_an_unknown_place_lists_the_nets(self):
        known = "input, stem, layer1, layer2, final, embedding for this net"
        with pytest.raises(ValueError, match=f"places must be among {known}, got 'layer9'"):
            self.drawn(places=("stem", "layer9"))
        with pytest.raises(ValueError, match=f"place must be one of {known}, got 'wave'"):
            self.drawn(place="wave")
        with pytest.raises(ValueError, match=f"places must be among wave, {known}, got 'layer3'"):
            self.drawn(waves=True, places=("wave", "layer3"))

    @pytest.mark.parametrize(("stages", "places"), [((), ()), (("stem", "body", "final"), ("input",))])
    def test_a_net_without_cuts_says_what_it_lacks(self, stages, places):
        known = ", ".join(["input", *stages, *(["embedding"] if stages else [])])
        with pytest.raises(ValueError, match=f'place "manifold" needs a net with stages .* its places are {known}$'):
            Mixup().drawer(places, stages, False)
        assert Mixup("input").drawer(places, stages, False).places == ("input",)
        if not stages:
            with pytest.raises(ValueError, match='place "last_layer" needs a net with stages'):
                Mixup("last_layer").drawer(places, stages, False)

    @pytest.mark.parametrize("name", NETS)
    def test_the_default_places_of_a_net_are_all_different(self, name):
        net = built(NETS[name])
        mel = torch.randn(4, 48, 40)
        net(mel)  # batch norms have seen something
        net.eval()
        places = Mixup().drawer(net.mix_places, net.stage_names, False).places
        with torch.inference_mode():
            z = [net.embed(mel, None, plan_of(0.3, (2, 3, 1, 0), place).mix) for place in places]
        assert places[0] == "input" and len(places) > 1
        for one, first in enumerate(z):
            assert all((first - other).abs().max() > 1e-3 * first.abs().max() for other in z[one + 1 :])


class TestUnequalLengths:
    """A clip of 50 frames and one of 100, mixed half and half at the last map."""

    def test_stretched_by_hand(self):
        h = torch.tensor([[[1.0], [4.0], [0.0], [0.0]]])
        mask, to = torch.arange(4) < torch.tensor([[2]]), torch.arange(4) < torch.tensor([[3]])
        assert stretched(h, mask, to)[0, :3, 0].tolist() == [1, 2.5, 4]  # the middle one spans half of each
        assert stretched(h, mask, torch.ones(1, 4, dtype=torch.bool))[0, :, 0].tolist() == [1, 1, 4, 4]
        assert torch.equal(stretched(h, mask, mask)[0, :2], h[0, :2])

    @pytest.mark.parametrize(("old", "new"), [(1, 7), (3, 100), (50, 100), (99, 100), (37, 64)])
    def test_stretching_keeps_the_mean(self, old, new):
        h = torch.randn(2, 100, 3, dtype=torch.float64)
        mask, to = (torch.arange(100).expand(2, -1) < n for n in (old, new))
        mean = stretched(h, mask, to)[:, :new].mean(1)
        torch.testing.assert_close(mean, h[:, :old].mean(1), atol=1e-12, rtol=1e-12)

    @pytest.mark.parametrize("lam", [0.5, 0.2, [0.3, 1.0]])
    def test_z_weighs_as_the_label_says(self, lam):
        h, mask = torch.randn(2, 100, 4, dtype=torch.float64), torch.arange(100) < torch.tensor([[50], [100]])
        h = h.masked_fill(~mask.unsqueeze(-1), 0.0)
        plan = MixPlan(torch.tensor(lam, dtype=torch.float64), torch.tensor([1, 0]), "final", stretch=True)
        mixed, valid = plan.mix("final", h, mask)
        z = mixed.sum(1) / valid.sum(1, keepdim=True)
        means = h.sum(1) / mask.sum(1, keepdim=True)
        share = plan.lam.expand(2)[:, None]
        torch.testing.assert_close(z, share * means + (1 - share) * means.flip(0), atol=1e-12, rtol=1e-12)

    def test_equal_lengths_are_mixed_as_they_are(self):
        h, mask = torch.randn(2, 9, 4), torch.arange(9).expand(2, -1) < 6
        h = h.masked_fill(~mask.unsqueeze(-1), 0.0)
        plain = plan_of(0.3, place="final")
        both = [MixPlan(plain.lam, plain.perm, "final", stretch).mix("final", h, mask) for stretch in (True, False)]
        assert torch.equal(both[0][0], both[1][0]) and torch.equal(both[0][1], both[1][1])

    @pytest.mark.parametrize("stretch", [True, False])
    def test_a_half_without_a_share_leaves_no_trace(self, stretch):
        h, mask = torch.randn(2, 9, 4), torch.arange(9) < torch.tensor([[3], [9]])
        h = h.masked_fill(~mask.unsqueeze(-1), 0.0)
        mixed, valid = MixPlan(torch.tensor([1.0, 0.0]), torch.tensor([1, 0]), "final", stretch).mix("final", h, mask)
        assert torch.equal(valid, mask[[0, 0]])
        assert torch.equal(mixed[0, :3], h[0, :3]) and torch.equal(mixed[1, :3], h[0, :3])

    def test_lengths_of_mixed_waves(self):
        size = np.array([300, 900, 500])
        assert plan_of(0.5, (1, 2, 0)).lengths(size).tolist() == [900, 900, 500]
        assert plan_of([1.0, 0.5, 0.0], (1, 2, 0)).lengths(size).tolist() == [300, 900, 300]


class TestLabelsOfWhichSomeAreUnknown:
    def test_by_hand(self):
        target = torch.tensor([[1.0, 0.0, 1.0, NAN, 0.0], [0.0, NAN, NAN, NAN, 0.0]])
        weight = torch.tensor([[2.0, 1.0, 4.0, 1.0, 1.0], [1.0] * 5])
        mixed, positive, known = plan_of(0.75).mix_labels(target, weight)
        torch.testing.assert_close(mixed[0], torch.tensor([0.75, 0, 1, NAN, 0]), equal_nan=True)
        torch.testing.assert_close(mixed[1], torch.tensor([0.25, 0, 1, NAN, 0]), equal_nan=True)
        torch.testing.assert_close(positive, torch.tensor([[2.0, 1, 4, 1, 1], [2.0, 1, 4, 1, 1]]))
        torch.testing.assert_close(known, torch.tensor([[1, 0.75, 0.75, 0, 1], [1, 0.25, 0.25, 0, 1]]))

    def test_positives_of_both_halves_weigh_by_their_shares(self):
        mixed, positive, _ = plan_of(0.75).mix_labels(torch.ones(2, 1), torch.tensor([[4.0], [0.5]]))
        assert mixed.flatten().tolist() == [1, 1] and positive.flatten().tolist() == [3.125, 1.375]

    @pytest.mark.parametrize("lam", [1.0, [1.0, 1.0]])
    def test_lam_one_changes_nothing(self, lam):
        target = torch.tensor([[1.0, NAN, 0.0], [NAN, 0.0, 1.0]])
        mixed, _, known = plan_of(lam).mix_labels(target, torch.ones(2, 3))
        torch.testing.assert_close(mixed, target, equal_nan=True, atol=0, rtol=0)
        assert torch.equal(known, (~target.isnan()).float())

    def test_where_all_is_known_it_is_the_mixture_of_the_labels(self):
        target, plan = torch.randint(2, (6, 9)).float(), MixDrawer(("input",), per_row=True).draw(6, 1, generator())
        mixed, positive, known = plan.mix_labels(target, torch.ones(6, 9))
        torch.testing.assert_close(mixed, plan.target(target, 9))
        torch.testing.assert_close(known, torch.ones(6, 9))
        torch.testing.assert_close(positive, torch.ones(6, 9))

    def test_no_known_pair_is_lost(self):
        target = torch.where(torch.rand(40, 24) < 0.1, torch.randint(2, (40, 24)).float(), NAN)
        plan = MixDrawer(("input",), 0.1, per_row=True).draw(40, 1, generator())
        mixed, _, known = plan.mix_labels(target, torch.ones(40, 24))
        share = plan.lam[:, None]
        kept = ((~target.isnan()) & (share > 0)) | ((~target[plan.perm].isnan()) & (share < 1))
        assert torch.equal(~mixed.isnan(), kept) and torch.equal(known > 0, kept)
        assert known.sum().item() == pytest.approx((~target.isnan()).sum().item(), rel=0.2), (
            "each is there by its share"
        )

    def test_a_batch_as_its_loss_sees_it(self):
        row, plan = torch.arange(2), plan_of(0.75)
        single = Batch(torch.zeros(2, 4, 3), None, torch.tensor([0, 2]), row, plan).mixed(3)
        assert single.target.tolist() == [[0.75, 0, 0.25], [0.25, 0, 0.75]] and single.known is None
        several = Batch(torch.zeros(2, 4, 3), None, torch.tensor([[1.0, NAN], [NAN, 0.0]]), row, plan).mixed(2)
        assert several.target.tolist() == [[1, 0], [1, 0]] and several.known.tolist() == [[0.75, 0.25], [0.25, 0.75]]
        plain = single._replace(plan=None)
        assert plain.mixed(3) is plain


@dataclass(frozen=True)
class Swap:
    """One's own mixup: every batch in its reverse order, or what `plan` says."""

    plan: str = "swap"

    def draw(self, items, epoch, generator):
        return MixPlan(torch.tensor(0.0), torch.arange(items).flip(0), "input") if self.plan == "swap" else self.plan


class TestOnesOwn:
    def test_its_plans_are_drawn(self):
        for mix in (Swap(), Part(Swap)):
            assert mix_drawer(mix, (), (), False).draw(3, 1, generator()).perm.tolist() == [2, 1, 0]
        assert mix_drawer(None, (), (), False) is None

    def test_what_lacks_something_is_named(self):
        with pytest.raises(ValueError, match="mix must have draw.*, and CrossEntropy has none"):
            mix_drawer(CrossEntropy(), (), (), False)
        with pytest.raises(ValueError, match="a plan of Swap must have place, mix, .*, and lacks place, mix, apply"):
            mix_drawer(Swap("text"), (), (), False).draw(3, 1, generator())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"place": "middle"}, "place must be one of input, wave, manifold, last_layer, embedding, got 'middle'"),
        ({"places": ("stem", "stem")}, r"places must name each place once, got \('stem', 'stem'\)"),
        ({"places": (1,)}, r"places must be names of places, got \(1,\)"),
        (
            {"place": "input", "places": ("stem",)},
            r"places must be empty unless place is \"manifold\", got \('stem',\)",
        ),
        ({"alpha": -1.0}, "alpha must be at least 0, got -1.0"),
        ({"alpha": float("inf")}, "alpha must be finite, got inf"),
        ({"probability": -0.1}, r"probability must be in \[0, 1\], got -0.1"),
        ({"lam": 1.0}, r"lam must be in \[0, 1\), got 1.0"),
        ({"lam": 0.5, "alpha": 1.0}, "alpha must be 0 with a lam that does not change, got 1.0"),
        ({"labels": "max"}, "labels must be one of shares, union, sum, got 'max'"),
        ({"from_epoch": 0}, "from_epoch must be at least 1, got 0"),
        ({"from_epoch": 3, "until_epoch": 2}, r"until_epoch must be 0 or at least from_epoch \(3\), got 2"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Mixup(**fields)


def test_rules_against_the_rest_of_an_experiment():
    with pytest.raises(ValueError, match='features must be Wave with place "wave", got LogMel'):
        Experiment(mix=Mixup("wave"))
    with pytest.raises(ValueError, match=r"from_epoch must be at most epochs \(20\), got 21"):
        Experiment(mix=Mixup(from_epoch=21))
    with pytest.raises(ValueError, match='labels must be "shares" with one label a row, as of CrossEntropy, got "sum"'):
        Experiment(mix=Mixup("input", labels="sum"))
    assert Experiment(mix=Mixup("input", labels="sum"), loss=BCE()).mix.labels == "sum"
    assert Experiment(mix=Mixup("wave"), features=Wave()).mix.place == "wave"


@pytest.mark.parametrize(
    ("lam", "perm", "message"),
    [
        (1.5, [1, 0], r"lam must be in \[0, 1\], got 1.5"),
        ([0.5, float("nan")], [1, 0], r"lam must be in \[0, 1\], got \[0.5, nan\]"),
        ([0.5, 0.5, 0.5], [1, 0], r"lam must be \(\) or \(2,\) like perm, got \(3,\)"),
        (0.5, [1, 1], r"perm must be a permutation of 0 to 1, got \[1, 1\]"),
        (0.5, [1, 2], r"perm must be a permutation of 0 to 1, got \[1, 2\]"),
    ],
)
def test_bad_plans_are_refused(lam, perm, message):
    with pytest.raises(ValueError, match=message):
        plan_of(lam, perm)


@pytest.mark.parametrize("stem", ["small", "as_built"])
def test_on_images_one_pass_is_the_sources_two(stem):
    net, images = built(Net(Timm("test_resnet", stem=stem, normalize="none")), 48, 16, 3), torch.rand(4, 16, 48) * 255
    net(images)  # batch norms have seen something
    net.eval()
    with torch.inference_mode():
        for place in ("input", *net.stage_names, "embedding"):
            for lam in LAMS.values():
                plan = MixPlan(lam, torch.tensor([2, 3, 1, 0]), place)
                z = net(images, None, plan.mix)[1]
                torch.testing.assert_close(z, two_passes(net, images, None, plan), atol=1e-5, rtol=1e-5)
                assert not torch.allclose(z, net.embed(images), atol=1e-4)
