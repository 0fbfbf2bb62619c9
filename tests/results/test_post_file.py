"""post.json: parts chosen on out-of-fold rows, fitted again from them where the run was sent."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.competition.metrics import Metric
from kit.parts import part
from kit.results.place_priors import SitePrior
from kit.results.post import Tuned, out_of_fold, post_processed
from kit.results.post_blend import RankBlend
from kit.results.post_file import FIELDS, read_post, save_post
from kit.results.post_windows import FilePeak, Smooth
from kit.results.threshold import thresholded
from kit.training.runs import load_run

CLASSES = ("x", "y")
PARTS = (Tuned(FilePeak(), "power", (0.0, 3.0)), SitePrior(added=1.0), Smooth((1, 2, 1)))
TEST = [f"T_S0{site}_20250227_010002" for site in (1, 2)]


@part
class Mine:
    """A part of one's own."""

    def fit(self, rows, target, metric):
        return lambda rows: rows.probability


def own(target, probability):
    return 0.0


@pytest.fixture
def run(tmp_path):
    """A run's folder: 8 recordings of 4 windows at two sites, in two folds; a class calls in all windows or in none."""
    rng = np.random.default_rng(0)
    stems = [f"R{n}_S0{1 + n % 2}_20250227_010002" for n in range(8)]
    ids = [f"{stem}_{end}" for stem in stems for end in (5, 10, 15, 20)]
    there = np.repeat(rng.random((8, 2)) < np.where(np.arange(8) % 2, 0.7, 0.2)[:, None], 4, axis=0)
    label = [" ".join([*(name for name, one in zip(CLASSES, row, strict=True) if one), "-*"]) for row in there]
    oof = pd.DataFrame(
        {"id": ids, "fold": np.repeat(np.arange(8) // 4, 4), "label": label, "group": np.repeat(stems, 4)}
    )
    oof[list(CLASSES)] = 1 / (1 + np.exp(-(2 * there - 1 + rng.normal(0, 1.5, there.shape))))
    facts = {"seed": 0, "metric": "roc_auc", "cluster": "group", "task": "multi", "folds": {}, "minutes": 0}
    folder = tmp_path / "a-s0"
    folder.mkdir()
    (folder / "experiment.json").write_text('{"name": "a"}')
    (folder / "metrics.json").write_text(json.dumps({**facts, "parameters": 0}))
    oof.to_parquet(folder / "oof.parquet")
    return folder


@pytest.fixture
def competition(run):
    oof = pd.read_parquet(run / "oof.parquet")
    ends = oof["id"].str.rpartition("_")[2].astype(float)
    train = pd.DataFrame(
        {"id": oof["id"], "path": oof["group"] + ".ogg", "start_seconds": ends - 5, "end_seconds": ends}
    )
    test = pd.DataFrame({"id": SAID["id"], "path": [f"{stem}.ogg" for stem in TEST for _ in range(2)]})
    test = test.assign(start_seconds=[0.0, 5.0] * 2, end_seconds=[5.0, 10.0] * 2)
    return SimpleNamespace(train=train, test=test, classes=CLASSES, folder=Path("bird"), form="columns")


SAID = pd.DataFrame({"id": [f"{stem}_{end}" for stem in TEST for end in (5, 10)], "x": [0.2, 0.6, 0.5, 0.4], "y": 0.5})


def test_parts_come_back_and_are_fitted_again_on_the_out_of_fold_rows(run, competition):
    path = save_post(load_run(run), PARTS, competition)
    assert path == run / "post.json" and list(json.loads(path.read_text())) == list(FIELDS)
    expected = post_processed(SAID, load_run(run), PARTS, competition)
    assert not expected[["x", "y"]].equals(SAID[["x", "y"]])
    for place in (run, path):
        post = read_post(place, competition)
        assert post.parts == PARTS and post.run == run and post.threshold is None
        pd.testing.assert_frame_equal(post.change(SAID), expected, check_exact=True)
    assert str(post) == (
        "post-processed by Tuned(base=FilePeak, field='power', values=(0.0, 3.0)), SitePrior(added=1.0), "
        "Smooth(taps=(1, 2, 1)), fitted on the out-of-fold rows of a-s0"
    )


def test_a_metric_of_its_own_is_written_down(run, competition):
    """A power of 30 ranks well and has no calibration."""
    parts = (Tuned(FilePeak(), "power", (0.0, 30.0)),)
    save_post(run, parts, competition, "log_loss")
    expected = post_processed(SAID, load_run(run), parts, competition, "log_loss")
    assert not expected.equals(post_processed(SAID, load_run(run), parts, competition))
    pd.testing.assert_frame_equal(read_post(run, competition).change(SAID), expected, check_exact=True)


def test_where_labels_are_listed_the_threshold_is_of_post_processed_rows(run, competition):
    competition.form = "lists"
    save_post(run, PARTS[1:], competition, "f1_rows")
    expected = thresholded(out_of_fold(load_run(run), PARTS[1:], competition, "f1_rows"), "f1_rows")[1]
    assert read_post(run, competition).threshold == expected != thresholded(load_run(run), "f1_rows")[1]


def test_parts_that_could_not_be_had_elsewhere_are_refused(run, competition):
    with pytest.raises(ValueError, match=r"parts must be the kit's to be sent along, got .*test_post_file:Mine"):
        save_post(run, (Smooth(), Mine()), competition)
    with pytest.raises(ValueError, match="parts must need no other run's test predictions, got RankBlend"):
        save_post(run, (Tuned(RankBlend(("b",)), "weight", (0.1, 0.5)),), competition)
    with pytest.raises(ValueError, match="run a-s0: must have a folder to keep its post-processing"):
        save_post(replace(load_run(run), folder=None), PARTS, competition)
    with pytest.raises(ValueError, match="metric must be one of .* to be written down, got own"):
        save_post(run, PARTS, competition, Metric(own))
    assert not (run / "post.json").exists()


def test_a_file_that_does_not_fit_is_one_line(run, competition):
    with pytest.raises(FileNotFoundError, match=r"post.json: no such file; kit.save_post\(run, parts, competition\)"):
        read_post(run, competition)
    path = save_post(run, PARTS, competition)
    good = json.loads(path.read_text())
    with pytest.raises(ValueError, match="post.json: classes must be those of bird, got 'y'"):
        read_post(run, SimpleNamespace(**{**vars(competition), "classes": ("x", "z")}))
    for change, told in (
        ({"parts": [{"part": "os:system"}]}, "part os:system is not the kit's"),
        ({"parts": [{"part": "Smoth"}]}, "parts[0]: no part 'Smoth' (did you mean Smooth?)"),
        ({"parts": [{"part": "BCE"}]}, "parts must be of post-processing, got BCE"),
        ({"parts": {}}, "parts must be a list, and metric one of "),
        ({"metric": "own"}, "got 'own'"),
        ({"threshold": 2}, "threshold must be in (0, 1], got 2"),
        ({"more": 1}, "must be an object of parts, metric, threshold, oof_sha256"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{re.escape(told)}"):
            read_post(run, competition)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"post.json: line 1: not JSON"):
        read_post(run, competition)


def test_a_run_that_was_trained_anew_since_is_refused(run, competition):
    save_post(run, PARTS, competition)
    oof = pd.read_parquet(run / "oof.parquet")
    oof.assign(x=oof["x"] / 2).to_parquet(run / "oof.parquet")
    with pytest.raises(
        ValueError, match="post.json: was made of another oof.parquet than the one beside it; save_post"
    ):
        read_post(run, competition)
