"""From the folder of each contest that is a table to a submission that passes the check, by the tiniest net."""

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.presets import preset
from kit.results.check import check_submission
from kit.results.record import record
from kit.training.crossval import crossval
from kit.training.loop import Loop
from kit.training.losses import BCE
from tests.competition.table_folders import (
    make_columns,
    make_cornell,
    make_freesound,
    make_speech_commands,
    write_noise,
    write_table,
)

TINY = preset("tiny").but(name="tiny", loop=Loop(epochs=1, batch_size=4), folds=Folds(2))


def make_one_of_columns(folder):
    """A column a class, of which each row has one."""
    make_columns(folder)
    write_noise(folder / "audio/g.wav", 0.5)
    flags = {"a": (1, 0, 0), "b": (0, 1, 0), "c": (0, 0, 1), "d": (1, 0, 0), "e": (0, 0, 1), "f": (0, 1, 0)}
    write_table(folder / "train.csv", ("clip", "nan", "007", "None"), *((f"{n}.wav", *v) for n, v in flags.items()))
    return folder


def make_cornell_with_audio(folder):
    return make_cornell(folder, audio=True)


CONTESTS = {  # and the rate of their audio
    make_freesound: 44100, make_speech_commands: 16000, make_cornell_with_audio: 32000, make_columns: 16000,
    make_one_of_columns: 16000,
}  # fmt: skip


def trained(competition, rate_hz, folder):
    """The run; all is written below the folder."""
    experiment = TINY.but(features=LogMel(rate_hz))
    experiment = experiment.but(loss=BCE()) if competition.task == "multi" else experiment
    options = {"cache": folder / "cache", "n_jobs": 1, "threads": 1, "progress": False}
    return crossval(experiment, competition, folder / "runs/x", **options)[0]


@pytest.mark.parametrize("make", CONTESTS)
def test_a_contest_is_trained_for_and_its_submission_passes(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    competition = open_competition(make(tmp_path / "data"))
    run = trained(competition, CONTESTS[make], tmp_path)
    assert run.test["id"].tolist() == competition.test["id"].tolist() and 0 <= run.score <= 1
    assert np.isfinite(run.probability).all()
    row = record(run, competition)
    table = check_submission(row["file"], competition)
    assert table.columns.tolist() == [competition.id_column, *competition.label_columns]
    assert row["metric"] == competition.metric


@pytest.mark.filterwarnings("ignore:3 of 3 test recordings got the class priors")
def test_without_audio_of_the_test_its_rows_get_the_priors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    competition = open_competition(make_cornell(tmp_path / "data"))
    run = trained(competition, 32000, tmp_path)
    rows = run.test[list(competition.classes)].to_numpy()
    assert (rows == rows[0]).all()
    check_submission(record(run, competition)["file"], competition)
