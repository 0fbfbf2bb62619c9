"""Notebook 09's experiments and tables, on runs made up without a training."""

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.competition.metrics import METRICS
from kit.demos.dawn_chorus import make_dawn_chorus
from kit.results.post_windows import Smooth
from kit.results.submission import write_submission
from kit.studies import dawn_chorus
from kit.training.runs import REST, Run

NAN = float("nan")
FILES, WINDOWS = 12, 4
FACTS = {"seed": 0, "metric": "roc_auc", "cluster": "group", "task": "multi"}


@pytest.fixture
def world():
    """12 clips and 12 soundscapes of 4 windows, three classes, the third heard in soundscapes alone."""
    rng = np.random.default_rng(0)
    there = np.concatenate([rng.random((FILES, 3)) < [0.5, 0.5, 0], rng.random((FILES * WINDOWS, 3)) < 0.4])
    path = [f"clip{n}.ogg" for n in range(FILES)]
    path += [f"S{file}_20250101_06000{file % 2}.ogg" for file in range(FILES) for _ in range(WINDOWS)]
    start = [NAN] * FILES + [5.0 * window for _ in range(FILES) for window in range(WINDOWS)]
    train = pd.DataFrame({"id": [f"r{n}" for n in range(len(path))], "path": path, "start_seconds": start})
    label = [" ".join([*np.array(["x", "y", "z"])[row], "-*"]) for row in there]
    source = ["clip"] * FILES + ["soundscape"] * FILES * WINDOWS
    train = train.assign(label=label, source=source, group=path, end_seconds=train["start_seconds"] + 5)
    facts = {"train": train, "test": train.iloc[:0], "classes": ("x", "y", "z"), "task": "multi", "boxes": None}
    return SimpleNamespace(**facts, folder=Path("chorus"), metric="roc_auc")


def run_of(world, skill, name="a", rows=slice(None)):
    rng = np.random.default_rng(1)
    train = world.train[rows]
    there = np.array([["xyz"[c] in text.split() for c in range(3)] for text in train["label"]])
    said = 1 / (1 + np.exp(-(skill * (2 * there - 1) + rng.normal(size=there.shape))))
    number = pd.factorize(train["path"])[0]
    oof = train[["id", "label", "group"]].assign(fold=number % 2, **dict(zip("xyz", said.T, strict=True)))
    return Run(f"{name}-s0", {"name": name}, FACTS, oof.reset_index(drop=True), Path("runs/a-s0"))


def test_the_demo_starts_small_and_keeps_its_last_weights():
    demo, full = dawn_chorus.start("demo", 3), dawn_chorus.start("full", 3)
    assert (demo.seed, demo.features.n_mels, demo.net.backbone.name) == (3, 64, dawn_chorus.NET)
    assert demo.loop.keep == full.loop.keep == "last" and full.net.backbone.depth == 0
    assert dawn_chorus.weights_of(full) == "timm"
    pytest.importorskip(dawn_chorus.PACKAGE)
    assert Path(dawn_chorus.weights_of(demo)).is_file()


def test_only_an_empty_test_folder_goes_without_a_warning():
    with pytest.warns(UserWarning, match="1 of 4") as told, dawn_chorus.priors_told_once():
        warnings.warn("1 of 4 test recordings got the class priors", stacklevel=1)
        warnings.warn("4 of 4 test recordings got the class priors\n  more", stacklevel=1)
    assert len(told) == 1


def test_windows_are_judged_where_there_are_several_soundscapes(world):
    ids = dawn_chorus.judged_ids(world)
    assert ids == [f"r{n}" for n in range(FILES, FILES * (1 + WINDOWS))]
    run = run_of(world, 1.0)
    assert dawn_chorus.only(run, ids).oof["id"].tolist() == ids and dawn_chorus.only(run, None) is run
    world.train = world.train[: FILES + WINDOWS]
    assert dawn_chorus.judged_ids(world) is None


def test_one_fold_of_two_holds_out_the_soundscapes(world):
    folds, number = dawn_chorus.soundscape_fold(world)
    numbers = dawn_chorus.make_folds(world.train, **folds.options(world))
    assert set(numbers[world.train["source"] == "soundscape"]) == {number}
    assert number not in numbers[world.train["source"] == "clip"]


def test_the_jump_is_told_on_the_classes_that_both_parts_have(world):
    good, bad = run_of(world, 2.0), run_of(world, 0.0, "bad", rows=slice(FILES, None))
    table = dawn_chorus.jump_table(good, {"same": good, "bad": bad}, world).set_index("scored on").astype(str)
    assert table["rows"].astype(int).tolist() == [FILES, *[FILES * WINDOWS] * 3]
    target, said = good.target[FILES:, :2], good.probability[FILES:, :2]
    assert table.loc["windows", "roc_auc (95 %)"].startswith(f"{METRICS['roc_auc'](target, said):.3f} [")
    against = table["against windows (95 %)"]
    assert against["same"] == "+0.000 [+0.000, +0.000]" and against["bad"].startswith("-0.") and against["clips"] == ""


def test_clips_that_do_not_count_in_a_run_s_score_are_told_all_the_same(world, tmp_path):
    run = run_of(world, 2.0)
    run.oof[:FILES].to_parquet(tmp_path / REST)
    scored = replace(run, oof=run.oof[FILES:].reset_index(drop=True), folder=tmp_path)
    expected = dawn_chorus.jump_table(run, {}, world)
    pd.testing.assert_frame_equal(dawn_chorus.jump_table(scored, {}, world), expected)


def test_windows_that_another_run_never_holds_out_are_left_out(world):
    some = run_of(world, 1.0, "some", rows=slice(FILES, FILES + 6 * WINDOWS))
    table = dawn_chorus.jump_table(run_of(world, 1.0), {"some": some}, world)
    assert table["rows"].tolist() == [FILES, FILES * WINDOWS, 6 * WINDOWS]


def test_two_experiments_are_told_side_by_side_with_a_verdict(world):
    """The gain is kit.compare's own; no cell of what is shown is empty of meaning, or NaN."""
    runs = [run_of(world, 0.3, "weak"), run_of(world, 3.0, "strong")]
    table, gain = dawn_chorus.gain_table(runs, "weak")
    assert table.columns.tolist() == ["experiment", "seeds", "mean roc_auc", "gain over weak (95 %)", "verdict"]
    assert table["experiment"].tolist() == ["weak", "strong"] and table["verdict"].tolist() == ["", "differs"]
    assert table["gain over weak (95 %)"].tolist() == ["", str(gain)] and not table.isna().any(axis=None)
    assert gain.delta == pytest.approx(table["mean roc_auc"][1] - table["mean roc_auc"][0]) and gain.low > 0


def test_a_part_is_told_by_its_name_and_kept_for_its_gain(world):
    run = run_of(world, 1.0)
    table, kept = dawn_chorus.parts_table(run, (Smooth((0.0, 1.0, 0.0)), Smooth((1.0, 0.1, 1.0))), world)
    assert table["part"].tolist() == ["Smooth", "Smooth"] and kept == ()
    assert str(table["gain"][0]) == "+0.000 [+0.000, +0.000]" and not table["kept"].any()
    assert table["gain"][1].delta < 0, "windows are drawn one by one here: neighbours tell nothing"


def test_a_second_run_scores_what_is_predicted_of_the_hidden_test(tmp_path, monkeypatch):
    folder = make_dawn_chorus(tmp_path / "small", 20, 0, 2, 4, seconds=10.0, seed=2)

    def predict(run, data, *, out, cache):
        truth = data.solution().drop(columns="usage").astype({name: float for name in data.classes})
        noise = np.random.default_rng(0).random((len(truth), len(data.classes)))
        truth[list(data.classes)] = truth[list(data.classes)] if run.folder == Path("right") else noise
        write_submission(data, truth, out)
        return truth

    monkeypatch.setattr(dawn_chorus, "predict", predict)
    runs = {name: SimpleNamespace(folder=Path(name)) for name in ("guess", "right")}
    table = dawn_chorus.rerun_table(runs, (), open_competition(folder), tmp_path / "rerun")
    assert table["submission"].tolist() == ["guess", "right"]
    assert table.loc[1, ["public", "private"]].tolist() == [1.0, 1.0]
    assert table["gain over guess"][0] == "" and table["gain over guess"][1].startswith("+0.")
