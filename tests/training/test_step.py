from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from kit.training import step as step_module
from kit.training.fit import fit
from kit.training.predict import predict
from kit.training.step import margin_at

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
MIXES = [
    {},
    {"mix": "input", "mix_per_row": True},
    {"mix": "manifold", "mix_places": ("stem", "layer1")},
    {"mix": "lpc", "lpc_order": 8, "lpc_shuffled": 0.5},
    {"backbone": "timm", "timm_name": "test_resnet"},
]


def test_margin_by_hand(tiny):
    config = replace(tiny, margin=0.2, margin_warmup_steps=10)
    assert [margin_at(config, step) for step in (0, 5, 10, 99)] == pytest.approx([0, 0.1, 0.2, 0.2])
    assert margin_at(replace(config, margin_warmup_steps=0), 0) == 0.2


def trained(config, store, folder):
    """Loss by epoch, and probabilities of held-out rows.

    Not weights: some have no gradient but rounding, such as a bias before a norm, which Adam makes as large as any. At
    a small rate they don't carry the rest away.
    """
    train, config = store.rows("train"), replace(config, epochs=3, patience=3, keep="last", lr=5e-4)
    fitted = fit(config, store, train[8:], train[:8], folder, progress=False)
    probability = predict(fitted.model, store, train[:8], config, fitted.accelerator)
    return pd.read_csv(folder / "log.csv")["loss"].to_numpy(), probability


def same(one, other, tolerance):
    for found, wanted in zip(one, other, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("fields", MIXES, ids=lambda fields: fields.get("mix", fields.get("backbone", "plain")))
def test_compiled_steps_are_the_eager_ones(store, tiny, tmp_path, monkeypatch, fields):
    """In one graph, or fullgraph raises. The compiler of the backend is not what is tested, and takes a minute."""
    compiled = []

    def traced(model):
        compiled.append(torch.compile(model, backend="aot_eager", fullgraph=True))
        return compiled[-1]

    eager = trained(replace(tiny, **fields), store, tmp_path / "eager")
    monkeypatch.setattr(step_module, "compiled_net", traced)
    same(trained(replace(tiny, **fields, step="compiled"), store, tmp_path / "compiled"), eager, 2e-4)
    assert len(compiled) == 1


def test_where_no_graph_can_be_recorded_a_warning_says_why(store, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(step_module, "compiled_net", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match='step "graph": steps are compiled, but not recorded, for there is no GPU'):
        found = trained(replace(tiny, step="graph"), store, tmp_path / "graph")
    same(found, trained(tiny, store, tmp_path / "eager"), 1e-6)


@on_gpu
@pytest.mark.parametrize("fields", [*MIXES[:3], MIXES[4]], ids=lambda fields: str(fields.get("mix", "plain")))
def test_recorded_steps_are_the_eager_ones(store, tiny, tmp_path, monkeypatch, fields):
    """Without dropout, whose draws differ. Short utterances and a last, smaller batch are of other kinds."""
    monkeypatch.setattr(step_module, "WARM_UP", 1)
    config = replace(tiny, precision="fp32", dropout=0.0, **fields)
    eager = trained(config, store, tmp_path / "eager")
    same(trained(replace(config, step="graph"), store, tmp_path / "graph"), eager, 2e-3)


@on_gpu
def test_replays_draw_dropout_anew_and_by_the_seed(store, tiny, tmp_path):
    config = replace(tiny, dropout=0.5, step="graph", epochs=6)
    one, again = (trained(config, store, tmp_path / name)[0] for name in ("one", "again"))
    assert one.tolist() == pytest.approx(again.tolist(), rel=1e-3)
    assert len(set(one.tolist())) == len(one)
