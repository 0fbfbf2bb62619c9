"""From a folder of RFCX's layout to an accepted submission: the loop that serves one label a row serves several."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from accelerate import Accelerator

from kit.__main__ import main
from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.competition.metrics import METRICS, lwlrap
from kit.data.dataset import SpectrogramDataset
from kit.data.features import LogMel
from kit.data.mixup import Mixup
from kit.data.store import pack
from kit.experiment import Experiment
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.results.bootstrap import interval
from kit.results.compare import compare, cv_table
from kit.results.submission import check_submission, score_submission, write_submission
from kit.training.checkpoint import load_model, save_checkpoint
from kit.training.crossval import crossval
from kit.training.features import mels_of
from kit.training.fit import fit
from kit.training.loop import Loop
from kit.training.losses import BCE, CrossEntropy, Focal
from kit.training.predict import Windows, predict
from kit.training.schedules import WarmupCosine

MEL = LogMel(32000, 64, 0.04, 0.04, 300.0, 14000.0)
TINY = Experiment(
    name="tiny", folds=Folds(2), features=MEL, crop_frames=64, mix=Mixup("last_layer"),
    net=Net(Timm("test_byobnet", frequency="stack"), head=ClassAttention()),
    loss=Focal(positive_weight=2.0, positive_decay=0.5, label_smoothing=0.1), schedule=WarmupCosine(1),
    loop=Loop(epochs=2, epoch_steps=2, batch_size=4), predict=Windows(overlap=16),
)  # fmt: skip


def train(experiment, competition, out, cache, **options):
    return crossval(experiment, competition, out, cache=cache, n_jobs=1, threads=1, progress=False, **options)[0]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(rainforest, work):
    return train(TINY, rainforest, work / "runs", work)


def test_a_run_scores_and_its_submission_is_accepted(run, rainforest, tmp_path):
    assert run.target.shape == (len(rainforest.train), 24) and set(np.unique(run.target)) == {-1, 0, 1}
    assert run.score == pytest.approx(lwlrap(run.target, run.probability))
    assert cv_table([run])["oof"][0] == pytest.approx(run.score)
    assert interval(run.target, run.probability, "micro_precision").low >= 0
    path = write_submission(rainforest, run.test, tmp_path / "x.csv")
    check_submission(path, rainforest)
    scores = score_submission(path, rainforest)
    assert 0 < scores["public"] <= 1 and scores["private_rows"] == 3
    log = pd.read_csv(run.folder / "fold0/log.csv")
    assert log[["loss", "train_accuracy", "valid_score", "valid_loss"]].notna().all(axis=None)


def test_runs_are_compared_on_the_same_recordings(run, rainforest, work):
    other = train(TINY.but(name="other", mix=Mixup("input"), loss=BCE()), rainforest, work / "runs", work)
    table = compare([run, other], "tiny", n_resamples=100)
    assert table["name"].tolist() == ["tiny", "other"] and table["delta"].notna().all()


def test_a_prediction_is_the_highest_of_its_windows(run, rainforest, work):
    store = pack(rainforest, work, MEL, progress=False)
    model, _ = load_model(run.folder / "fold0/best.pt")
    row = int(store.rows("train")[3])
    start, size = store.index["start"][row], store.index["frames"][row]
    windows = [store.features[start + a : start + a + 64] for a in (0, 43, 86)]  # of 150 frames
    assert size == 150
    wanted = np.max([model(window[None].float())[0].sigmoid().detach().numpy()[0] for window in windows], axis=0)
    assert predict(model, store, [row], TINY, Accelerator())[0] == pytest.approx(wanted, abs=1e-5)


def test_the_windows_of_a_recording_are_one_batch(rainforest, work):
    store = pack(rainforest, work, MEL, progress=False)
    mels = mels_of(TINY, store, "cpu")
    dataset = SpectrogramDataset(store, store.rows("test"), TINY.predict.crop(mels.units, 64), mels=mels)
    batch = dataset[2]
    assert batch.mel.shape == (3, 64, 64) and len(set(batch.row.tolist())) == 1 and batch.mask is None


def test_a_run_cut_short_goes_on_to_the_same_bits(rainforest, work, tmp_path, monkeypatch):
    store = pack(rainforest, work, MEL, progress=False)
    rows = store.rows("train")

    def train_in(name):
        return fit(TINY, store, rows[4:], rows[:4], tmp_path / name, metric=METRICS["lwlrap"], progress=False)

    def save_and_stop(*arguments):
        save_checkpoint(*arguments)
        raise KeyboardInterrupt

    whole = train_in("whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("kit.training.fit.save_checkpoint", save_and_stop)
        train_in("parts")
    assert len(pd.read_csv(tmp_path / "parts/log.csv")) == 1
    parts = train_in("parts")
    assert (tmp_path / "parts/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()
    state = parts.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.model.state_dict().items())


def test_bad_test_recordings_get_the_priors_and_are_told(rainforest_folder, tmp_path):
    folder = shutil.copytree(rainforest_folder, tmp_path / "rainforest")
    ids = pd.read_csv(folder / "sample_submission.csv")["recording_id"]
    (folder / f"test/{ids[1]}.flac").unlink()
    content = (folder / f"test/{ids[4]}.flac").read_bytes()
    (folder / f"test/{ids[4]}.flac").write_bytes(content[: len(content) // 3])
    competition = open_competition(folder)
    with pytest.warns(UserWarning, match="2 of 6 test recordings got the class priors") as told:
        run = train(TINY.but(loop__epochs=1), competition, tmp_path / "runs", tmp_path)
    assert f"sample_submission.csv: line 3 ({ids[1]}): no such file on disk" in str(told[0].message)
    assert f"sample_submission.csv: line 6 ({ids[4]}): audio file must be" in str(told[0].message)
    test = run.test.set_index("id")[list(competition.classes)]
    assert test.notna().all(axis=None)
    assert np.allclose(test.loc[ids[1]], test.loc[ids[4]]) and not np.allclose(test.loc[ids[0]], test.loc[ids[1]])
    check_submission(write_submission(competition, test.reset_index(), tmp_path / "x.csv"), competition)


def test_a_folder_at_48_khz_and_60_s_goes_from_the_command_line_to_a_submission(tmp_path, monkeypatch, capsys):
    folder, rng = tmp_path / "rfcx", np.random.default_rng(0)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for number in range(3):
            noise = (rng.standard_normal(60 * 48000) * 500).astype(np.int16)
            soundfile.write(folder / split / f"{split}{number}.flac", noise, 48000)
    head = "recording_id,species_id,songtype_id,t_min,f_min,t_max,f_max\n"
    rows = [f"train{n},{n % 2},1,{10 + n}.5,400,{12 + n}.5,900\n" for n in range(3)]
    (folder / "train_tp.csv").write_text(head + "".join(rows))
    (folder / "train_fp.csv").write_text(head + "train0,1,1,57.5,400,60.0,900\n")
    sample = "recording_id,s0,s1\n" + "".join(f"test{number},0,0\n" for number in range(3))
    (folder / "sample_submission.csv").write_text(sample)
    experiment = TINY.but(features__n_mels=128, loop__epochs=1, predict=Windows()).to_dict()
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    shutil.copy(folder / "test/test0.flac", folder / "test/spare.flac")
    monkeypatch.chdir(tmp_path)
    code, told = main(["train", "experiment.json", "--data", "rfcx"]), capsys.readouterr().err
    assert code == 0, told
    assert "1 audio files in test/ are not in sample_submission.csv, such as test/spare.flac" in told
    (path,) = (tmp_path / "submissions/rfcx").glob("*.csv")
    assert main(["check", str(path), "--data", "rfcx"]) == 0


def test_a_loss_for_one_label_is_refused(rainforest, work, tmp_path):
    with pytest.raises(ValueError, match="loss must be BCE, Focal, .*, or one of your own, for this competition"):
        train(TINY.but(loss=CrossEntropy(), mix=None), rainforest, tmp_path, work)
