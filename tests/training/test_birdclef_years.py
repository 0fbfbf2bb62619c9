"""BirdCLEF's folders of three years, from the table to a submission that passes its check."""

import shutil

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.experiment import Experiment
from kit.inference.predict import predict
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.results.check import read_submission
from kit.results.submission import write_submission
from kit.training.crossval import crossval
from kit.training.loop import Loop
from kit.training.losses import BCE
from tests.competition.birdclef_folders import CLASSES, make_birdclef, write_noise

EXPERIMENT = Experiment(
    name="year", folds=Folds(2), features=LogMel(32000, 16), crop_frames=32, mix=None, loss=BCE(),
    net=Net(Conformer(width=8, layers=1, heads=1, ff_width=8, kernel_size=3)),
    loop=Loop(epochs=1, epoch_steps=1, batch_size=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A year's folder without a test, and the run that was trained there."""
    made = {}

    def of(year):
        if year not in made:
            folder = make_birdclef(tmp_path_factory.mktemp("year") / str(year), year, more=8)
            competition = open_competition(folder)
            with pytest.warns(UserWarning, match="3 of 3 test recordings got the class priors"):
                runs = crossval(
                    EXPERIMENT,
                    competition,
                    folder.parent / "runs",
                    cache=folder.parent / "cache",
                    n_jobs=1,
                    progress=False,
                )
            made[year] = folder, competition, runs[0]
        return made[year]

    return of


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_before_the_second_run_all_rows_have_the_priors_and_pass_the_check(trained, tmp_path, year):
    _, competition, run = trained(year)
    assert run.test["id"].tolist() == [f"soundscape_1446779_{end}" for end in (5, 10, 15)]
    assert (run.test[list(CLASSES)].nunique() == 1).all()
    path = write_submission(competition, run.test, tmp_path / "submission.csv")
    assert list(read_submission(path, competition).columns)[1:] == list(CLASSES)


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_in_the_second_run_each_window_is_predicted_and_a_bad_file_has_the_priors(trained, tmp_path, year):
    folder, _, run = trained(year)
    folder = shutil.copytree(folder, tmp_path / "again")
    write_noise(folder / "test_soundscapes" / "soundscape_9.ogg", 12.0)
    (folder / "test_soundscapes" / "soundscape_8.ogg").write_bytes(b"OggS")
    with pytest.warns(UserWarning, match="2 of 4 test rows got the class priors, such as 'soundscape_8_5'"):
        table = predict([run], folder, out=tmp_path / "submission.csv", cache=tmp_path / "cache", progress=False)
    assert table["id"].tolist() == [f"soundscape_{number}_{end}" for number in (8, 9) for end in (5, 10)]
    values = table[list(CLASSES)].to_numpy()
    assert np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()
    assert (values[0] == values[1]).all() and (values[2] != values[3]).any()
    read_submission(tmp_path / "submission.csv", open_competition(folder))
