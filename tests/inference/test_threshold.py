"""Submissions of lists name labels from a threshold on, in predict and in the kernel; it comes from oof rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.competition.threshold import best_threshold
from kit.data.features import LogMel
from kit.inference.predict import predict
from kit.inference.threshold import list_threshold
from kit.kaggle import serve
from kit.kaggle.weights import files_of_runs
from kit.results.blend import blend_runs
from kit.results.record import record, record_predictions
from kit.training.crossval import crossval
from kit.training.losses import BCE
from tests.competition.table_folders import make_cornell
from tests.inference.conftest import experiment

MEL = LogMel(32000, 16, 0.04, 0.04, 300.0, 14000.0)


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return open_competition(make_cornell(tmp_path_factory.mktemp("data") / "birds", audio=True))


@pytest.fixture(scope="module")
def trained(birds, tmp_path_factory):
    """Two runs, their folder, and their cache."""
    work = tmp_path_factory.mktemp("lists")
    base = experiment("a", features=MEL, loss=BCE())
    runs = crossval([base, base.but(name="b", net__backbone__width=16)], birds, work / "runs",
                    cache=work / "cache", n_jobs=1, threads=1, progress=False)  # fmt: skip
    return runs, work


def told(run, threshold, folder):
    """A copy of the run's folder whose metrics.json tells this threshold, or where it is None tells none."""
    copy = shutil.copytree(run.folder, folder / run.folder.name)
    metrics = {**run.metrics, "threshold": threshold}
    if threshold is None:
        del metrics["threshold"]
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return copy


def named(path):
    return pd.read_csv(path)["birds"].tolist()


def test_a_run_tells_the_threshold_of_its_own_rows(trained, birds):
    for run in trained[0]:
        expected = best_threshold(run.target, run.probability, birds.metric)
        assert run.metrics["threshold"] == expected == list_threshold([run.folder], birds)


def test_predict_names_what_training_recorded(trained, birds, tmp_path):
    (run, _), work = trained
    row = record(run, birds, tmp_path / "submissions")
    predict(run, birds, out=tmp_path / "out.csv", cache=work / "cache", progress=False)
    assert (tmp_path / "out.csv").read_bytes() == Path(row["file"]).read_bytes()


@pytest.mark.filterwarnings("ignore:.*says .* in every row")
def test_the_threshold_decides_in_predict_and_in_the_kernel(trained, birds, tmp_path, monkeypatch):
    (run, _), work = trained
    monkeypatch.chdir(tmp_path)
    for threshold, expected in {1e-6: "aldfly ameavo", 1.0: "nocall"}.items():
        folder = told(run, threshold, tmp_path / str(threshold))
        predict(folder, birds, out="out.csv", cache=work / "cache", progress=False)
        assert named("out.csv") == [expected] * 3
        serve.predict_here([folder], birds, 5.0, progress=False)
        assert named("submission.csv") == [expected] * 3


def test_runs_together_get_the_threshold_of_their_mixed_rows(trained, birds, tmp_path):
    runs, work = trained
    for how in ("mean", "geometric mean"):
        blend = blend_runs(runs)[how]
        folders = [run.folder for run in runs]
        assert list_threshold(folders, birds, how=how) == best_threshold(blend.target, blend.probability, birds.metric)
    table = predict(runs, birds, out=tmp_path / "out.csv", cache=work / "cache", how=how, progress=False)
    row = record_predictions("birds/blend", blend, table, birds, tmp_path / "submissions")
    assert (tmp_path / "out.csv").read_bytes() == Path(row["file"]).read_bytes()
    sent = [files_of_runs(folders[:count]) for count in (1, 2)]
    assert [sum(name.endswith("oof.parquet") for name in files) for files in sent] == [0, 2]


def test_weights_move_the_threshold(trained, birds):
    runs, _ = trained
    folders = [run.folder for run in runs]
    assert list_threshold(folders, birds, weights=[0.0, 2.0]) == pytest.approx(runs[1].metrics["threshold"])


def test_without_rows_their_mean_is_taken_and_told(trained, birds, tmp_path):
    folders = [told(run, value, tmp_path) for run, value in zip(trained[0], (0.2, 0.6), strict=True)]
    (folders[0] / "oof.parquet").unlink()
    with pytest.warns(UserWarning, match="a-s0, b-s0: no oof.parquet to choose a threshold on; .*0.5 on, their"):
        assert list_threshold(folders, birds, weights=[1, 3]) == pytest.approx((0.2 + 3 * 0.6) / 4)


def test_an_older_run_has_it_chosen_now_or_takes_a_half(trained, birds, tmp_path):
    run = trained[0][0]
    folder = told(run, None, tmp_path)
    assert list_threshold([folder], birds) == run.metrics["threshold"]
    (folder / "oof.parquet").unlink()
    with pytest.warns(UserWarning, match="labels are named from 0.5 on, none was chosen"):
        assert list_threshold([folder], birds) == 0.5


@pytest.mark.parametrize("value", ["high", 0, 1.5])
def test_a_wrong_threshold_is_named(trained, birds, tmp_path, value):
    folder = told(trained[0][0], value, tmp_path)
    with pytest.raises(ValueError, match=rf"a-s0/metrics.json: threshold must be in \(0, 1\], got {value!r}"):
        list_threshold([folder], birds)


def test_other_submissions_have_none(run_a, sounds):
    assert list_threshold([run_a.folder], sounds) is None and "threshold" not in run_a.metrics
    assert np.isfinite(run_a.score)
