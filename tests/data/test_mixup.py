"""Mixup against numbers worked out by hand, its laws, the source's two passes, and scipy's Beta."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from scipy import stats
from torch.nn import functional

from kit.competition.folds import make_folds
from kit.data.mixup import MIXES, MixPlan, Mixup, build_mixup, mixup_accuracy
from kit.data.store import pack
from kit.models.build import build_model
from kit.models.heads import AMSoftmaxHead, LinearHead
from kit.training.config import Config
from kit.training.fit import fit
from kit.training.losses import classification_loss
from kit.training.step import TrainStep

SMALL = Config(width=16, layers=2, heads=2, ff_width=32, kernel_size=5)
NETS = {
    "conformer": SMALL,
    "transformer": replace(SMALL, backbone="transformer"),
    "stacked, statistics": replace(SMALL, frame_stack=3, pooling="statistics"),
    **{name: replace(SMALL, backbone="timm", timm_name=name)
       for name in ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")},
}  # fmt: skip
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
        found = plan_of(0.75).target(torch.tensor([0, 2]), 3)
        torch.testing.assert_close(found, torch.tensor([[0.75, 0, 0.25], [0.25, 0, 0.75]]))

    def test_target_of_labels(self):
        found = plan_of(0.75).target(torch.tensor([[1, 1, 0], [0, 1, 1]]), 3)
        torch.testing.assert_close(found, torch.tensor([[0.75, 1, 0.25], [0.25, 1, 0.75]]))

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
        found = AMSoftmaxHead(2, 2).with_margin(logits, target, 0.2)
        torch.testing.assert_close(found, torch.tensor([[13.5, 22.5], [-1.5, 25.5]]))

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
        plan = Mixup(("input",), per_row=True).draw(20, 1, generator())
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
        mixup = Mixup(("input", "layer1", "layer2"), per_row=True)
        one, two, other = (mixup.draw(50, 1, generator(seed)) for seed in (3, 3, 4))
        assert torch.equal(one.lam, two.lam) and torch.equal(one.perm, two.perm) and one.place == two.place
        assert not torch.equal(one.lam, other.lam) and not torch.equal(one.perm, other.perm)

    def test_perm_is_a_permutation_and_every_item_meets_every_other(self):
        mixup, draws, met = Mixup(("input",)), generator(), torch.zeros(4, 4)
        for _ in range(400):
            perm = mixup.draw(4, 1, draws).perm
            assert sorted(perm.tolist()) == [0, 1, 2, 3]
            met[torch.arange(4), perm] += 1
        assert (met - 100).abs().max() < 35  # sd 8.7

    @pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 2.0])
    @pytest.mark.parametrize("per_row", [False, True])
    def test_lam_is_beta(self, alpha, per_row):
        mixup, draws = Mixup(("input",), alpha, per_row=per_row), generator()
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
        mixup, draws = Mixup(("input", "layer1", "layer2", "final")), generator()
        counts = pd.Series([mixup.draw(2, 1, draws).place for _ in range(2000)]).value_counts()
        assert set(counts.index) == set(mixup.places)
        assert stats.chisquare(counts).pvalue > 1e-3

    def test_share_of_batches_that_are_mixed(self):
        draws = generator()
        mixed = [Mixup(("input",), probability=0.3).draw(2, 1, draws) is not None for _ in range(1000)]
        assert sum(mixed) == pytest.approx(300, abs=75)  # sd 14.5
        assert all(Mixup(("input",)).draw(2, 1, draws) for _ in range(50))
        assert not any(Mixup(("input",), probability=0.0).draw(2, 1, draws) for _ in range(50))

    def test_epoch_window_holds_both_its_ends(self):
        def mixed(**window):
            mixup = Mixup(("input",), **window)
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
    h, mask = lam * one + (1 - lam) * two, None if mask is None else one_mask | two_mask
    for name in names[len(first) :]:
        h, mask = net.stages[name](h, mask)
    return net.hidden(net.pooling(h, mask))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_one_pass_is_the_sources_two(name, masked):
    net = build_model(NETS[name], n_classes=5, n_mels=40)
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
    net = build_model(NETS[name], n_classes=5, n_mels=40)
    plan = MixPlan(torch.tensor(0.5), torch.tensor([1, 2, 0]), net.stage_names[1])
    net(torch.randn(3, 40, 40), None, plan.mix)[0].square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.requires_grad and weight.grad is None] == []


@pytest.mark.parametrize(("name", "per_row"), [("conformer", False), ("test_resnet", True)])
def test_compiles_to_one_graph_a_place(name, per_row):
    torch._dynamo.reset()
    net = build_model(replace(NETS[name], dropout=0.0), n_classes=5, n_mels=40).eval()
    mel, mask = torch.randn(4, 40, 40), torch.arange(40) < torch.tensor([[40], [33], [20], [8]])
    draws, counter = generator(), Counter()
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    places = ("stem", "embedding")
    for _ in range(2):
        for place in places:
            plan = Mixup((place,), per_row=per_row).draw(4, 1, draws)
            torch.testing.assert_close(compiled(mel, mask, plan.mix), net(mel, mask, plan.mix))
    assert counter.graphs == len(places)


class Counter:
    """The eager backend, counting what it is given."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


class TestOfAConfig:
    STAGES = ("stem", "layer1", "final")

    def built(self, features="mel", **options):
        return build_mixup(Config(features=features, **options), self.STAGES, features)

    @pytest.mark.parametrize(
        ("mix", "places", "alpha"),
        [("input", ("input",), 1.0), ("manifold", ("input", *STAGES), 1.0), ("last_layer", ("final",), 0.1),
         ("embedding", ("embedding",), 0.1)],
    )  # fmt: skip
    def test_each_mode_has_its_places_and_alpha(self, mix, places, alpha):
        assert self.built(mix=mix) == Mixup(places, alpha)
        assert self.built(mix=mix, mix_alpha=0.4).alpha == 0.4

    def test_none_and_wave(self):
        assert self.built() is None
        assert self.built("wave", mix="wave") == Mixup(("wave",), 1.0)
        assert set(MIXES) == {"none", "input", "wave", "manifold", "last_layer", "embedding"}

    def test_every_option_arrives(self):
        mixup = self.built(
            mix="manifold", mix_alpha=2.0, mix_probability=0.5, mix_per_row=True, mix_places=("layer1", "embedding"),
            mix_from_epoch=2, mix_until_epoch=7,
        )  # fmt: skip
        assert mixup == Mixup(("layer1", "embedding"), 2.0, 0.5, True, 2, 7)

    def test_with_lpc_it_is_what_goes_with_it(self):
        assert self.built(mix="lpc", head="cosine") is None
        assert self.built(mix="lpc", head="cosine", lpc_with="input", mix_alpha=0.4) == Mixup(("input",), 0.4)

    def test_an_unknown_place_lists_the_nets(self):
        with pytest.raises(ValueError, match="among input, stem, layer1, final, embedding, got 'layer9'"):
            self.built(mix="manifold", mix_places=("stem", "layer9"))
        with pytest.raises(ValueError, match="among input, stem, layer1, final, embedding, got 'wave'"):
            build_mixup(Config(features="wave", mix="wave"), self.STAGES, "mel")
        with pytest.raises(ValueError, match="among wave, input, stem, layer1, final, embedding, got 'layer3'"):
            self.built("wave", mix="manifold", mix_places=("wave", "layer3"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"places": ()}, r"places must name one place or more, each once, got \(\)"),
        ({"places": ("stem", "stem")}, r"each once, got \('stem', 'stem'\)"),
        ({"alpha": 0.0}, "alpha must be above 0 and finite, got 0.0"),
        ({"alpha": float("nan")}, "alpha must be above 0 and finite, got nan"),
        ({"alpha": float("inf")}, "alpha must be above 0 and finite, got inf"),
        ({"probability": -0.1}, r"probability must be in \[0, 1\], got -0.1"),
        ({"from_epoch": 0}, "from_epoch must be at least 1, got 0"),
        ({"from_epoch": 3, "until_epoch": 2}, r"until_epoch must be 0 or at least from_epoch \(3\), got 2"),
    ],
)
def test_bad_draws_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Mixup(**{"places": ("input",), **options})


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


class TestTraining:
    @pytest.fixture
    def rows(self, store):
        train = store.rows("train")
        folds = make_folds(store.index.iloc[train], 2)
        return train[folds != 0], train[folds == 0]

    @pytest.mark.parametrize("mix", [mix for mix in MIXES if mix not in ("none", "wave")])
    def test_every_mode_trains(self, store, rows, tiny, tmp_path, mix):
        fit(replace(tiny, epochs=1, mix=mix), store, *rows, tmp_path, progress=False)
        log = pd.read_csv(tmp_path / "log.csv")
        assert log["loss"].between(0, 40).all() and log["train_accuracy"].between(0, 1).all()

    def test_waves_train_too(self, voices, rows, tiny, tmp_path):
        waves = pack(voices, tmp_path / "cache", kind="wave", progress=False)
        fit(replace(tiny, epochs=1, features="wave", mix="wave"), waves, *rows, tmp_path, progress=False)
        assert pd.read_csv(tmp_path / "log.csv")["loss"].between(0, 40).all()

    def test_the_logs_loss_and_accuracy_are_the_mixtures(self, store, rows, tiny, tmp_path, monkeypatch):
        """At a learning rate of nearly 0 and without a margin, what is logged is that of the net as it began."""
        config = replace(
            tiny, mix="input", epochs=1, lr=1e-12, margin=0.0, dropout=0.0, batch_size=24, time_masks=0, freq_masks=0,
            weight_decay=0.0, seed=1,
        )  # fmt: skip
        seen, forward = [], TrainStep._forward

        def watched(self, batch, *rest):
            loss, logits = forward(self, batch, *rest)
            seen.append((batch, logits.detach()))
            return loss, logits

        monkeypatch.setattr(TrainStep, "_forward", watched)
        net = fit(config, store, *rows, tmp_path, progress=False).model.train()
        (batch, logits), log = seen[0], pd.read_csv(tmp_path / "log.csv")
        plan, others = batch.plan, batch.target[batch.plan.perm]
        own, other = (functional.cross_entropy(logits, target).item() for target in (batch.target, others))
        lam = plan.lam.item()
        assert 0.01 < lam < 0.99
        torch.testing.assert_close(net(batch.mel, batch.mask, plan.mix)[0], logits, atol=1e-4, rtol=0)
        assert not torch.allclose(net(batch.mel, batch.mask)[0], logits, atol=1e-2)
        assert log["loss"][0] == pytest.approx(lam * own + (1 - lam) * other, rel=1e-5)
        right, right_too = ((logits.argmax(1) == y).float().mean().item() for y in (batch.target, others))
        assert log["train_accuracy"][0] == pytest.approx(lam * right + (1 - lam) * right_too, abs=1e-6)

    def test_outside_the_window_a_run_is_the_unmixed_one(self, store, rows, tiny, tmp_path):
        logs = []
        for name, change in {"none": {}, "late": {"mix": "input", "mix_from_epoch": 2}}.items():
            fit(replace(tiny, epochs=2, **change), store, *rows, tmp_path / name, progress=False)
            logs.append(pd.read_csv(tmp_path / name / "log.csv"))
        assert logs[0].iloc[0].equals(logs[1].iloc[0])
        assert logs[0]["loss"][1] != logs[1]["loss"][1]

    def test_a_misspelt_place_stops_before_training(self, store, rows, tiny, tmp_path):
        config = replace(tiny, mix="manifold", mix_places=("layer7",))
        with pytest.raises(ValueError, match="mix_places must be among input, stem, layer1, final, embedding"):
            fit(config, store, *rows, tmp_path, progress=False)
        assert not (tmp_path / "log.csv").exists()


@pytest.mark.parametrize("timm_stem", ["small", "as_built"])
def test_on_images_one_pass_is_the_sources_two(timm_stem):
    config = Config(
        backbone="timm", timm_name="test_resnet", timm_stem=timm_stem, normalize="none", time_masks=0, freq_masks=0,
        image_channels=3, segment_frames=16,
    )  # fmt: skip
    net, images = build_model(config, 5, 48), torch.rand(4, 16, 48) * 255
    net(images)  # batch norms have seen something
    net.eval()
    with torch.inference_mode():
        for place in ("input", *net.stage_names, "embedding"):
            for lam in LAMS.values():
                plan = MixPlan(lam, torch.tensor([2, 3, 1, 0]), place)
                z = net(images, None, plan.mix)[1]
                torch.testing.assert_close(z, two_passes(net, images, None, plan), atol=1e-5, rtol=1e-5)
                assert not torch.allclose(z, net.embed(images), atol=1e-4)
