import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.mixup import Mixup
from kit.models.heads import AMSoftmax
from kit.models.timm_backbone import Timm
from kit.parts import Part
from kit.training import step as step_module
from kit.training.fit import fit
from kit.training.predict import predict
from kit.training.views import LPCViews

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
MIXES = {
    "plain": {},
    "input": {"mix": Mixup("input", per_row=True)},
    "manifold": {"mix": Mixup(places=("stem", "layer1"))},
    "views": {"views": LPCViews(order=8, shuffled=0.5)},
    "timm": {"net__backbone": Timm("test_resnet")},
}


def test_margin_by_hand():
    assert [AMSoftmax(margin=0.2, warmup_steps=10).margin_at(step) for step in (0, 5, 10, 99)] == pytest.approx(
        [0, 0.1, 0.2, 0.2]
    )
    assert AMSoftmax(margin=0.2).margin_at(0) == 0.2


def trained(experiment, store, folder):
    """Loss by epoch, and probabilities of held-out rows.

    Not weights: some have no gradient but rounding, such as a bias before a norm, which Adam makes as large as any. At
    a small rate they don't carry the rest away.
    """
    train = store.rows("train")
    experiment = experiment.but(loop__patience=3, loop__keep="last", optimizer__lr=5e-4)
    fitted = fit(experiment, store, train[8:], train[:8], folder, progress=False)
    probability = predict(fitted.model, store, train[:8], experiment, fitted.accelerator)
    return pd.read_csv(folder / "log.csv")["loss"].to_numpy(), probability


def same(one, other, tolerance):
    for found, wanted in zip(one, other, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MIXES)
def test_compiled_steps_are_the_eager_ones(store, tiny, tmp_path, monkeypatch, name):
    """In one graph, or fullgraph raises. The compiler of the backend is not what is tested, and takes a minute."""
    compiled = []

    def traced(model):
        compiled.append(torch.compile(model, backend="aot_eager", fullgraph=True))
        return compiled[-1]

    experiment = tiny.but(**MIXES[name])
    eager = trained(experiment, store, tmp_path / "eager")
    monkeypatch.setattr(step_module, "compiled_net", traced)
    same(trained(experiment.but(loop__step="compiled"), store, tmp_path / "compiled"), eager, 2e-4)
    assert len(compiled) == 1


def test_where_no_graph_can_be_recorded_a_warning_says_why(store, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(step_module, "compiled_net", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match='step "graph": steps are compiled, but not recorded, for there is no GPU'):
        found = trained(tiny.but(loop__step="graph"), store, tmp_path / "graph")
    same(found, trained(tiny, store, tmp_path / "eager"), 1e-6)


def vector(logits, batch):
    return logits.mean(1)


def number(logits, batch):
    return 1.0


@pytest.mark.parametrize(("loss", "got"), [(vector, r"\(8,\)"), (number, "float")])
def test_a_loss_that_is_no_scalar_is_named(store, rows, tiny, tmp_path, loss, got):
    with pytest.raises(ValueError, match=f"^loss {loss.__name__}: must give a scalar tensor, got {got}$"):
        fit(tiny.but(loss=Part(loss)), store, *rows, tmp_path, progress=False)


@on_gpu
@pytest.mark.parametrize("name", ["plain", "input", "manifold", "timm"])
def test_recorded_steps_are_the_eager_ones(store, tiny, tmp_path, monkeypatch, name):
    """Without dropout, whose draws differ. Short utterances and a last, smaller batch are of other kinds."""
    monkeypatch.setattr(step_module, "WARM_UP", 1)
    plain = tiny.but(loop__precision="fp32", net__backbone__dropout=0.0)
    experiment = plain.but(**MIXES[name])
    eager = trained(experiment, store, tmp_path / "eager")
    same(trained(experiment.but(loop__step="graph"), store, tmp_path / "graph"), eager, 2e-3)


@on_gpu
def test_replays_draw_dropout_anew_and_by_the_seed(store, tiny, tmp_path):
    experiment = tiny.but(net__backbone__dropout=0.5, loop__step="graph", loop__epochs=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a graph that is not recorded is told by one
        one, again = (trained(experiment, store, tmp_path / name)[0] for name in ("one", "again"))
    assert one.tolist() == pytest.approx(again.tolist(), rel=1e-3)
    assert len(set(one.tolist())) == len(one)
