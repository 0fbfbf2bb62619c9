"""Image runs from end to end: a folder of images, crossval, and what the test part says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.data.mixup import Mixup
from kit.data.store import pack
from kit.demos.digits import make_digits
from kit.presets import image_preset
from kit.results.bootstrap import paired
from kit.studies.held_out import error_reading, error_table, fitted, held_out, nll_reading, told
from kit.training.crossval import crossval


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """none and input, two seeds, on 60 digits."""
    work = tmp_path_factory.mktemp("images")
    competition = open_competition(make_digits(work / "digits", 60))
    none = image_preset("tiny", 8, 1).but(name="none", loop__epoch_steps=25, folds__n=1)
    mixed = none.but(name="input", mix=Mixup("input", alpha=1.0))
    runs = crossval(
        [none, mixed], competition, work / "runs", seeds=(0, 1), folds=(0,), cache=work / "cache", n_jobs=1, threads=1,
        progress=False,
    )  # fmt: skip
    return runs, pack(competition, work / "cache", progress=False)


def test_a_run_is_scored_on_the_test_rows(trained):
    runs, store = trained
    run = held_out(runs[0], store)
    table = pd.read_parquet(runs[0].folder / "test.parquet")
    assert held_out(runs[0].folder, store).oof.equals(run.oof)
    labels = store.index["label"][store.rows("test")]
    assert len(run.oof) == 1797 - 60 and run.oof["label"].tolist() == labels.tolist()
    assert np.array_equal(run.probability, table[list(store.classes)].to_numpy(dtype=float))
    assert (run.probability.argmax(1) == run.target).mean() > 0.2, "it learned something: chance is 0.1"


def test_the_table_by_hand(trained):
    trained_runs, store = trained
    runs = [held_out(run, store) for run in trained_runs]
    table = error_table(runs, "none").set_index("name")
    wrong = {run.name: 100 * (run.probability.argmax(1) != run.target).mean() for run in runs}
    nll = {run.name: -np.log(run.probability[np.arange(len(run.target)), run.target]).mean() for run in runs}
    for name in ("none", "input"):
        assert table.at[name, "error"] == pytest.approx((wrong[f"{name}-s0"] + wrong[f"{name}-s1"]) / 2)
        assert table.at[name, "nll"] == pytest.approx((nll[f"{name}-s0"] + nll[f"{name}-s1"]) / 2, abs=1e-6)
        assert table.at[name, "low"] < table.at[name, "error"] < table.at[name, "high"]
    row = table.loc["input"]
    assert row["delta"] == pytest.approx(row["error"] - table.at["none", "error"])
    assert row["nll_delta"] == pytest.approx(row["nll"] - table.at["none", "nll"])
    assert row["delta_low"] < row["delta"] < row["delta_high"]
    by_seed = [wrong[f"input-s{seed}"] - (wrong["none-s0"] + wrong["none-s1"]) / 2 for seed in (0, 1)]
    assert row["spread"] == pytest.approx(np.std(by_seed, ddof=1))
    seeds = [np.stack([run.probability for run in pair]) for pair in (runs[2:], runs[:2])]
    found = paired(runs[0].target, *seeds, "accuracy")
    assert (row["delta_low"], row["delta_high"]) == pytest.approx((-100 * found.high, -100 * found.low))
    assert table.at["none", "delta"] == 0 and not table.at["none", "differs"]


def test_tables_to_read_have_no_nan_and_the_tables_numbers(trained):
    trained_runs, store = trained
    table = error_table([held_out(run, store) for run in trained_runs], "none")
    errors, nlls = error_reading(table), nll_reading(table)
    assert not errors.isna().any(axis=None) and not nlls.isna().any(axis=None)
    none, mixed = table.to_dict("records")
    assert errors["test error (%)"][0] == f"{none['error']:.2f} [{none['low']:.2f}, {none['high']:.2f}]"
    assert errors["sd of Δ over seeds"].tolist() == ["", f"{mixed['spread']:.2f}"]
    assert errors["Δ [95 %, uncorrected]"][1].startswith(f"{mixed['delta']:+.2f} [{mixed['delta_low']:+.2f}, ")
    assert nlls["NLL (nats)"].tolist() == [f"{none['nll']:.3f}", f"{mixed['nll']:.3f}"]
    marked = table.assign(differs=[False, True], delta=[0.0, -1.0], nll_differs=[False, True], nll_delta=[0.0, 0.1])
    assert error_reading(marked)["verdict (Holm)"].tolist() == ["", "better"]
    assert nll_reading(marked)["verdict (Holm)"].tolist() == ["", "worse"]
    assert error_reading(marked.assign(differs=False))["verdict (Holm)"].tolist() == ["", "not told apart"]


def test_how_a_run_was_fitted_is_told_from_its_log(trained):
    found = fitted(trained[0])
    log = pd.read_csv(trained[0][1].folder / "fold0/log.csv").iloc[-1]
    assert found["seed"].tolist() == [0, 1, 0, 1] and (found["updates"] == 50).all()
    assert found["training accuracy, last epoch"][1] == f"{log['train_accuracy']:.3f}"


def test_a_line_tells_two_runs_apart(trained):
    runs, store = trained
    ours, theirs = held_out(runs[2], store), held_out(runs[0], store)
    wrong = [100 * (run.probability.argmax(1) != run.target).mean() for run in (ours, theirs)]
    line = told(ours, theirs)
    assert line.startswith(f"input {wrong[0]:.2f} %, none {wrong[1]:.2f} % of 1,737 test images wrong: ")
    assert f": {wrong[0] - wrong[1]:+.2f} [" in line


def test_other_rows_and_unknown_labels_are_refused(trained, voices, tmp_path):
    runs, store = trained
    fewer = replace(store, index=store.index.iloc[:-1])
    with pytest.raises(ValueError, match="test.parquet: must hold the 1736 test rows of"):
        held_out(runs[0], fewer)
    unknown = replace(store, index=store.index.assign(target=-1))
    with pytest.raises(ValueError, match="must hold the labels of its test rows, got some without"):
        held_out(runs[0], unknown)
