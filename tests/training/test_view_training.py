"""LPCViews in nets and in whole trainings."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from kit.data.batches import generator_for
from kit.data.features import Wave
from kit.data.mixup import Mixup
from kit.data.store import pack
from kit.models.heads import Cosine
from kit.models.timm_backbone import Timm
from kit.training.crossval import crossval
from kit.training.finish import BaseSession
from kit.training.fit import fit
from kit.training.nets import build_net
from kit.training.predict import predict
from kit.training.step import TrainStep
from kit.training.views import LPCViews, mel_axis_notice

OFF = LPCViews(formant=0.0, residual=0.0, instance=0.0)
ALL = {
    "views": LPCViews(recombination=0.5, shuffled=0.5, swap="least", prototypes=0.1), "session": BaseSession(),
}  # fmt: skip


def built(experiment, n_classes=5, n_mels=20, seed=3):
    torch.manual_seed(seed)
    return build_net(experiment, n_classes, n_mels)


def test_the_views_prototypes_come_last_and_move_no_other_weight(tiny):
    plain, lpc = (built(tiny.but(views=views)).state_dict() for views in (None, LPCViews()))
    added = [name for name in lpc if name not in plain]
    assert added == ["view_heads.formant.weight", "view_heads.residual.weight"]
    assert all(torch.equal(value, lpc[name]) for name, value in plain.items())


@pytest.mark.parametrize(
    ("views", "names", "trained"),
    [
        (LPCViews(), ["formant", "residual"], [True, True]),
        (LPCViews(residual=0.0), ["formant"], [True]),
        (LPCViews(swap="most"), ["formant", "residual", "swap"], [True, True, True]),
        (LPCViews(formant=0.0, prototypes=0.1), ["formant", "residual"], [False, True]),
    ],
)
def test_there_are_the_prototypes_that_the_views_need(tiny, views, names, trained):
    heads = built(tiny.but(views=views, session=BaseSession())).view_heads
    assert list(heads) == names
    assert [head.weight.requires_grad for head in heads.values()] == trained
    assert all(head.weight.shape == (5, 16) and head.scale == 30 for head in heads.values())


@pytest.mark.parametrize(
    "fields",
    [
        {"views": LPCViews()},
        ALL,
        {"mix": Mixup("input"), **ALL},
        {"views": LPCViews(shuffled=1.0), "mix": Mixup(places=("input", "stem"), per_row=True)},
        {"views": LPCViews(), "net__head": Cosine(), "net__backbone": Timm("test_resnet"), "crop_frames": 180},
    ],
    ids=["default", "all", "all with input", "manifold by row", "timm, padded"],
)
def test_every_term_trains(store, rows, tiny, tmp_path, fields):
    fit(tiny.but(loop__epochs=1, **fields), store, *rows, tmp_path, progress=False)
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["loss"].between(0, 120).all() and log["train_accuracy"].between(0, 1).all()


@pytest.mark.parametrize("mix", [None, Mixup("wave")], ids=["plain", "mixed"])
def test_waves_train_too(voices, rows, tiny, tmp_path, mix):
    waves = pack(voices, tmp_path / "cache", kind="wave", progress=False)
    fit(tiny.but(loop__epochs=1, features=Wave(), views=LPCViews(), mix=mix), waves, *rows, tmp_path, progress=False)
    assert pd.read_csv(tmp_path / "log.csv")["loss"].between(0, 80).all()


def test_the_loss_of_a_step_by_hand(store, rows, tiny, tmp_path, monkeypatch):
    """CE(e, W) and the terms, of the net as it began (a rate of nearly 0), target and views mixed by one plan."""
    experiment = tiny.but(
        views=LPCViews(recombination=0.5), mix=Mixup("input"), net__head=Cosine(), net__backbone__dropout=0.0,
        loop__epochs=1, loop__batch_size=24, optimizer__lr=1e-12, optimizer__weight_decay=0.0, seed=1,
    )  # fmt: skip
    seen, forward = [], TrainStep._forward

    def watched(self, batch, *rest):
        loss, logits = forward(self, batch, *rest)
        seen.append((batch, loss.detach(), logits.detach()))
        return loss, logits

    monkeypatch.setattr(TrainStep, "_forward", watched)
    net = fit(experiment, store, *rows, tmp_path, progress=False).model.train()
    batch, loss, logits = seen[0]
    plan, n = batch.plan, len(batch.target)
    assert batch.mel.shape == (3 * n, 24, 40) and 0.01 < plan.lam.item() < 0.99
    mel = torch.cat([plan.apply(view) for view in batch.mel.chunk(3)])
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


def test_without_terms_and_batch_norm_it_is_a_plain_run(store, rows, tiny, tmp_path):
    """Weights of 0, group norm: the speech view's crops, masks and loss are the plain run's."""
    logs = []
    plain = tiny.but(loop__epochs=2, net__backbone__conv_norm="group", net__backbone__dropout=0.0)
    for name, views in {"none": None, "lpc": OFF}.items():
        fit(plain.but(views=views), store, *rows, tmp_path / name, progress=False)
        logs.append(pd.read_csv(tmp_path / name / "log.csv"))
    assert np.allclose(logs[0], logs[1], rtol=1e-3)


def test_only_base_classes_are_trained_and_predicted(store, rows, tiny, tmp_path):
    target = store.index["target"].to_numpy()
    train, valid = (part[target[part] < 4] for part in rows)
    session = BaseSession(4, replace_prototypes=False)
    experiment = tiny.but(
        loop__epochs=1, views=LPCViews(), mix=Mixup("input"), session=session, optimizer__weight_decay=0.0
    )
    fitted = fit(experiment, store, train, valid, tmp_path, progress=False)
    began = built(experiment, len(store.classes), store.n_mels, generator_for(experiment.seed).initial_seed())
    heads = [(net.head, *net.view_heads.values()) for net in (fitted.model, began)]
    for head, first in zip(*heads, strict=True):
        assert torch.equal(head.weight[4:], first.weight[4:]) and not torch.equal(head.weight[:4], first.weight[:4])
    probability = predict(fitted.model, store, valid, experiment, fitted.accelerator)
    assert (probability[:, 4:] == 0).all() and np.allclose(probability.sum(1), 1, atol=1e-5)
    with pytest.raises(ValueError, match=r"n_base must be in \[6, 6\] for these rows, got 4"):
        fit(experiment, store, *rows, tmp_path / "no", progress=False)


def test_the_mel_axis_is_told_of_once(voices, store, rows, tiny, tmp_path, capsys):
    experiment = tiny.but(loop__epochs=1, views=LPCViews())
    told = mel_axis_notice(experiment.views, store)
    assert told.startswith("LPCViews: along the mel axis, for the store holds log-mels")
    fit(experiment, store, *rows, tmp_path / "fit")
    assert capsys.readouterr().out.count(told) == 1
    both = [experiment, experiment.but(name="other", mix=Mixup("input"))]
    crossval(both, voices, tmp_path / "runs", folds=(0,), cache=tmp_path, n_jobs=1, threads=1)
    assert capsys.readouterr().out.count(told) == 1
    crossval(tiny.but(name="quiet", loop__epochs=1), voices, tmp_path / "runs", cache=tmp_path, n_jobs=1)
    assert told not in capsys.readouterr().out
