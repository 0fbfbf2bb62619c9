"""The terms of mix "lpc" against numbers worked out by hand, their laws, and whole trainings."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from kit.competition.folds import make_folds
from kit.data.mixup import MixPlan
from kit.data.store import pack
from kit.models.build import build_model
from kit.models.heads import CosineHead
from kit.training import fit as fit_module
from kit.training.config import Config
from kit.training.crossval import crossval
from kit.training.fit import fit
from kit.training.losses import classification_loss
from kit.training.lpc_losses import groups_of, lpc_losses, recombination_loss, shuffled_within, swap_residuals
from kit.training.predict import predict
from kit.training.step import TrainStep

OFF = {"lpc_formant": 0.0, "lpc_residual": 0.0, "lpc_instance": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def on_axes(scale=1.0):
    """A head of two classes whose prototypes are the axes."""
    head = CosineHead(2, 2, scale)
    head.weight.data = torch.eye(2)
    return head


def terms(z, target=(0, 1), seed=0, **options):
    """The terms of a net whose every head is on the axes, and the plain cross-entropy of a head."""
    config = Config(mix="lpc", head="cosine", **{**OFF, **options})
    net = SimpleNamespace(head=on_axes(), view_heads={name: on_axes() for name in ("formant", "residual", "swap")})
    target = torch.tensor(target)
    return lpc_losses(
        config, net, torch.tensor(z), target, lambda head, z: classification_loss(head(z), target), generator(seed)
    )


E, F, R = [[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [0.0, 1.0]], [[3.0, 4.0], [5.0, 0.0]]


def two_way(right, wrong):
    """Cross-entropy of two logits."""
    return math.log(1 + math.exp(wrong - right))


class TestByHand:
    def test_formant_and_residual_have_their_own_weights(self):
        """cos to the axes: f (0, 1), (0, 1); r (0.6, 0.8), (1, 0); targets 0 and 1."""
        found = terms(E + F + R, lpc_formant=1.0, lpc_residual=0.5)
        assert set(found) == {"formant", "residual"}
        assert found["formant"].item() == pytest.approx((two_way(0, 1) + two_way(1, 0)) / 2)
        assert found["residual"].item() == pytest.approx(0.5 * (two_way(0.6, 0.8) + two_way(0, 1)) / 2)

    def test_recombination(self):
        """f + r = (3, 7) beside (1, 0), and (5, 1) beside (0, 2)."""
        cosines = 3 / math.sqrt(58), 1 / math.sqrt(26)
        found = terms(E + F + R, lpc_recombination=0.25)["recombination"].item()
        assert found == pytest.approx(0.25 * (1 - sum(cosines) / 2))

    def test_instance_level_classifies_the_mixtures_and_not_the_views(self):
        """ê 0.75 with f̂, r̂ 0.25; f̂ and r̂ alone, the source's documented error, would give another number."""
        found = terms(E + F + R, lpc_instance=0.25)["instance"].item()
        e_f = [(0.75, 0.25), (0.0, 1.0)]
        e_r = [(0.75 + 0.25 * 0.6, 0.25 * 0.8), (0.25, 0.75)]
        by_hand = 0.0
        for (x, y), target in zip([*e_f, *e_r], [0, 1, 0, 1], strict=True):
            logits = x / math.hypot(x, y), y / math.hypot(x, y)
            by_hand += two_way(logits[target], logits[1 - target]) / 2
        assert found == pytest.approx(0.25 * by_hand)
        views = sum(classification_loss(on_axes()(torch.tensor(view)), torch.tensor([0, 1])) for view in (F, R))
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
        found = terms(E + F + R, lpc_swap="least", lpc_swap_weight=2.0)["swap"].item()
        first, second = math.hypot(1.4, 0.8), math.hypot(0.4, 1.8)
        by_hand = two_way(1.4 / first, -0.8 / first) + two_way(1.8 / second, -0.4 / second)
        assert found == pytest.approx(by_hand)

    def test_shuffled_recombination_of_one_class(self):
        """Seed 0 draws what it draws; the term is the recombination loss of that draw, f and r each by their own."""
        z = torch.randn(24, 2).tolist()
        found = terms(z, [0] * 8, lpc_shuffled=0.5)["shuffled"].item()
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
        found = terms(E + F + R, lpc_recombination=1.0, lpc_shuffled=1.0)
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
        options = {"lpc_formant": 1.0, "lpc_residual": 1.0, "lpc_instance": 0.1, "lpc_swap": "most"}
        z, lengths = torch.randn(12, 2), torch.rand(12, 1) + 0.5
        one, two = (terms(rows.tolist(), [0, 1, 1, 0], **options) for rows in (z, z * lengths))
        for name, value in one.items():
            torch.testing.assert_close(value, two[name])

    def test_soft_targets_are_classified_as_they_are(self):
        """Of a batch mixed by λ = 1 nothing changes; labels (B, C) take the place of class numbers."""
        options = {"lpc_formant": 1.0, "lpc_shuffled": 1.0, "lpc_swap": "least", "lpc_instance": 0.1}
        hard, soft = (terms(E + F + R, target, **options) for target in ([0, 1], [[1.0, 0.0], [0.0, 1.0]]))
        for name, value in hard.items():
            torch.testing.assert_close(value, soft[name])

    def test_every_view_and_head_gets_a_gradient(self):
        config = Config(
            mix="lpc", head="cosine", width=16, layers=1, heads=2, ff_width=32, kernel_size=5, lpc_swap="most"
        )
        net, target = build_model(config, n_classes=4, n_mels=20), torch.tensor([0, 3])
        mel = torch.randn(6, 30, 20, requires_grad=True)
        z = net.embed(mel)
        losses = lpc_losses(config, net, z, target, lambda head, z: classification_loss(head(z), target), generator())
        sum(losses.values()).backward()
        assert all(weight.grad is not None and weight.grad.any() for weight in net.view_heads.parameters())
        assert mel.grad.flatten(1).abs().sum(1).min() > 0


class TestModel:
    TINY = Config(mix="lpc", head="cosine", width=16, layers=1, heads=2, ff_width=32, kernel_size=5)

    def test_the_views_prototypes_come_last_and_move_no_other_weight(self):
        nets = []
        for mix in ("none", "lpc"):
            torch.manual_seed(3)
            nets.append(build_model(replace(self.TINY, mix=mix), 5, 20).state_dict())
        plain, lpc = nets
        assert [name for name in lpc if name not in plain] == [
            "view_heads.formant.weight", "view_heads.residual.weight"
        ]  # fmt: skip
        assert all(torch.equal(value, lpc[name]) for name, value in plain.items())

    @pytest.mark.parametrize(
        ("options", "names", "trained"),
        [
            ({}, ["formant", "residual"], [True, True]),
            ({"lpc_residual": 0.0}, ["formant"], [True]),
            ({"lpc_swap": "most"}, ["formant", "residual", "swap"], [True, True, True]),
            ({"lpc_formant": 0.0, "lpc_prototypes": 0.1, "replace_prototypes": True}, ["formant", "residual"],
             [False, True]),
        ],
    )  # fmt: skip
    def test_there_are_the_prototypes_that_the_config_needs(self, options, names, trained):
        heads = build_model(replace(self.TINY, **options), 5, 20).view_heads
        assert list(heads) == names
        assert [head.weight.requires_grad for head in heads.values()] == trained
        assert all(head.weight.shape == (5, 16) and head.scale == 30 for head in heads.values())


class TestTraining:
    @pytest.fixture
    def rows(self, store):
        train = store.rows("train")
        folds = make_folds(store.index.iloc[train], 2)
        return train[folds != 0], train[folds == 0]

    @pytest.fixture
    def waves(self, voices, tmp_path):
        return pack(voices, tmp_path / "cache", kind="wave", progress=False)

    ALL = {"lpc_recombination": 0.5, "lpc_shuffled": 0.5, "lpc_swap": "least", "lpc_prototypes": 0.1,
           "replace_prototypes": True}  # fmt: skip

    @pytest.mark.parametrize(
        "options",
        [{}, ALL, {"lpc_with": "input", **ALL}, {"lpc_with": "manifold", "mix_per_row": True, "lpc_shuffled": 1.0},
         {"head": "cosine", "scale": 16.0, "backbone": "timm", "timm_name": "test_resnet", "segment_frames": 180}],
        ids=["default", "all", "all with input", "manifold by row", "timm, padded"],
    )  # fmt: skip
    def test_every_term_trains(self, store, rows, tiny, tmp_path, options):
        fit(replace(tiny, epochs=1, mix="lpc", **options), store, *rows, tmp_path, progress=False)
        log = pd.read_csv(tmp_path / "log.csv")
        assert log["loss"].between(0, 120).all() and log["train_accuracy"].between(0, 1).all()

    @pytest.mark.parametrize("lpc_with", ["none", "wave"])
    def test_waves_train_too(self, waves, rows, tiny, tmp_path, lpc_with):
        config = replace(tiny, epochs=1, features="wave", mix="lpc", lpc_with=lpc_with)
        fit(config, waves, *rows, tmp_path, progress=False)
        assert pd.read_csv(tmp_path / "log.csv")["loss"].between(0, 80).all()

    def test_the_loss_of_a_step_by_hand(self, store, rows, tiny, tmp_path, monkeypatch):
        """CE(e, W) and the terms, of the net as it began (a rate of nearly 0), target and views mixed by one plan."""
        config = replace(
            tiny, mix="lpc", lpc_with="input", lpc_recombination=0.5, head="cosine", epochs=1, lr=1e-12, dropout=0.0,
            batch_size=24, weight_decay=0.0, seed=1,
        )  # fmt: skip
        seen, forward = [], TrainStep._forward

        def watched(self, batch, *rest):
            loss, logits = forward(self, batch, *rest)
            seen.append((batch, loss.detach(), logits.detach()))
            return loss, logits

        monkeypatch.setattr(TrainStep, "_forward", watched)
        net = fit(config, store, *rows, tmp_path, progress=False).model.train()
        batch, loss, logits = seen[0]
        plan, n = batch.plan, len(batch.target)
        assert batch.mel.shape == (3 * n, 24, 40) and 0.01 < plan.lam.item() < 0.99
        mel = torch.cat([MixPlan(plan.lam, plan.perm, "input").apply(view) for view in batch.mel.chunk(3)])
        e, f, r = net.embed(mel).chunk(3)
        hats = [functional.normalize(view, dim=1) for view in (e, f, r)]

        def ce(z, head):
            two = (functional.cross_entropy(head(z), y) for y in (batch.target, batch.target[plan.perm]))
            return sum(lam * value for lam, value in zip((plan.lam, 1 - plan.lam), two, strict=True))

        by_hand = ce(e, net.head) + ce(f, net.view_heads["formant"]) + 0.5 * ce(r, net.view_heads["residual"])
        by_hand = by_hand + 0.5 * (1 - functional.cosine_similarity(e, f + r).mean())
        by_hand = by_hand + 0.1 * sum(ce(0.9 * hats[0] + 0.1 * view, net.head) for view in hats[1:])
        torch.testing.assert_close(loss, by_hand.detach(), rtol=1e-4, atol=0)
        torch.testing.assert_close(logits, net.head(e).detach(), atol=2e-3, rtol=0)
        assert pd.read_csv(tmp_path / "log.csv")["loss"][0] == pytest.approx(by_hand.item(), rel=1e-4)

    def test_without_terms_and_batch_norm_it_is_a_plain_run(self, store, rows, tiny, tmp_path):
        """Weights of 0, group norm: the speech view's crops, masks and loss are the plain run's."""
        logs = []
        for name, change in {"none": {}, "lpc": {"mix": "lpc", **OFF}}.items():
            config = replace(tiny, epochs=2, conv_norm="group", dropout=0.0, **change)
            fit(config, store, *rows, tmp_path / name, progress=False)
            logs.append(pd.read_csv(tmp_path / name / "log.csv"))
        assert np.allclose(logs[0], logs[1], rtol=1e-3)

    def test_only_base_classes_are_trained_and_predicted(self, store, rows, tiny, tmp_path):
        target = store.index["target"].to_numpy()
        train, valid = (part[target[part] < 4] for part in rows)
        config = replace(tiny, epochs=1, mix="lpc", lpc_with="input", n_base=4, weight_decay=0.0)
        fitted = fit(config, store, train, valid, tmp_path, progress=False)
        began = build_model_as(config, store)
        for head, first in ((fitted.model.head, began.head), *zip(
            fitted.model.view_heads.values(), began.view_heads.values(), strict=True
        )):  # fmt: skip
            assert torch.equal(head.weight[4:], first.weight[4:]) and not torch.equal(head.weight[:4], first.weight[:4])
        probability = predict(fitted.model, store, valid, config, fitted.accelerator)
        assert (probability[:, 4:] == 0).all() and np.allclose(probability.sum(1), 1, atol=1e-5)
        with pytest.raises(ValueError, match=r"n_base must be in \[6, 6\] for these rows, got 4"):
            fit(config, store, *rows, tmp_path / "no", progress=False)

    def test_the_mel_axis_is_told_of_once(self, voices, store, rows, tiny, tmp_path, capsys):
        config, told = replace(tiny, epochs=1, mix="lpc"), 'mix "lpc": along the mel axis, for the store holds log-mels'
        fit(config, store, *rows, tmp_path / "fit")
        assert capsys.readouterr().out.count(told) == 1
        both = [config, replace(config, name="other", lpc_with="input")]
        crossval(both, voices, tmp_path / "runs", folds=(0,), cache=tmp_path, n_jobs=1, threads=1)
        assert capsys.readouterr().out.count(told) == 1
        crossval([replace(config, name="quiet", mix="none")], voices, tmp_path / "runs", cache=tmp_path, n_jobs=1)
        assert told not in capsys.readouterr().out


def build_model_as(config, store):
    """The net as fit begins with it."""
    torch.manual_seed(fit_module.generator_for(config.seed).initial_seed())
    return build_model(config, len(store.classes), store.n_mels)
