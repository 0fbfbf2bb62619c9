"""Finished runs over test parts: the same bits as in training, other folders' classes and rows, faults, and kills."""

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.competition import open_competition
from kit.data.features import LogMel, Wave
from kit.inference import packing, serving
from kit.inference.blend_row import read_blend
from kit.inference.predict import predict
from kit.inference.serving import FoldServing
from kit.results.blend import blend_runs, geometric_mean, weighted
from kit.results.ledger import file_sha256
from kit.results.record import record, record_predictions
from kit.training.crossval import crossval
from kit.training.losses import BCE
from kit.training.predict import Windows
from tests.inference.conftest import NAMES, TEST, experiment, train, write_sounds

FAULTY = r"2 of 20 test rows got the class priors, such as 't3.wav'"


def run_predict(runs, data, cache, **options):
    with pytest.warns(UserWarning, match=FAULTY):
        return predict(runs, data, cache=cache, progress=False, **{"threads": 1, **options})


def test_rows_of_training_come_out_in_the_same_bits(run_a, sounds, work, tmp_path):
    for cache in (work / "cache", tmp_path):  # by training's own store, and by one of the test part alone
        pd.testing.assert_frame_equal(run_predict(run_a, sounds, cache, threads=None), run_a.test, check_exact=True)
    fold = run_predict([run_a.folder], sounds.folder, tmp_path, folds=[1])
    pd.testing.assert_frame_equal(fold, pd.read_parquet(run_a.folder / "fold1/test.parquet"), check_exact=True)


def test_the_submission_is_the_one_that_training_recorded(run_a, sounds, tmp_path):
    row = record(run_a, sounds, tmp_path / "submissions")
    run_predict(run_a, sounds, tmp_path, out=tmp_path / "out/submission.csv")
    assert (tmp_path / "out/submission.csv").read_bytes() == Path(row["file"]).read_bytes()


def test_log_mel_files_come_out_in_the_same_bits(voices, tmp_path):
    one = experiment("mels", crop_frames=24)
    (run,) = crossval(one, voices, tmp_path / "runs", cache=tmp_path, folds=(1,), n_jobs=1, threads=1, progress=False)
    table = predict(run, voices, folds=[1], cache=tmp_path / "other", progress=False)
    pd.testing.assert_frame_equal(table, run.test, check_exact=True)


def test_packed_waves_come_out_in_the_same_bits(sounds, tmp_path):
    run = train(experiment("waves", features=Wave(experiment().features)), sounds, tmp_path, folds=(0,))
    table = run_predict(run, sounds, tmp_path / "c", folds=[0])
    pd.testing.assert_frame_equal(table, run.test, check_exact=True)


def test_recordings_of_several_labels_come_out_in_the_same_bits(rainforest, tmp_path):
    mel = LogMel(32000, 32, 0.04, 0.06, 300.0, 14000.0)
    one = experiment("r", features=mel, crop_frames=48, loss=BCE(), predict=Windows(overlap=8))
    (run,) = crossval(one, rainforest, tmp_path / "runs", cache=tmp_path, folds=(0,), n_jobs=1, threads=1,
                      progress=False)  # fmt: skip
    table = predict(run, rainforest, folds=[0], cache=tmp_path / "other", progress=False)
    pd.testing.assert_frame_equal(table, run.test, check_exact=True)


def test_a_row_that_cant_be_used_gets_the_mean_of_the_folds_priors(run_a, sounds, tmp_path):
    table = run_predict(run_a, sounds, tmp_path).set_index("id")
    shares = [1 / 3] * 3  # six rows of each class, and three of each in either fold
    np.testing.assert_allclose(table.loc[["t3.wav", "t8.wav"], list(NAMES)], [shares, shares], atol=1e-7)


def test_other_rows_and_classes_are_matched_by_name(run_a, sounds, tmp_path):
    """The folder has two of the three classes, one of its own, and the same sounds under other names."""
    test = [(f"other{number}.wav", NAMES[number % 3], number) for number in range(12, 20)]
    folder = write_sounds(tmp_path / "other", 3, test, ("new", "low", "high"))
    other = open_competition(folder)
    with pytest.warns(UserWarning, match="a-s0 does not know 1 of 3 classes, such as 'new'"):
        table = predict(run_a, other, cache=tmp_path / "cache", progress=False)
    assert table["id"].tolist() == [row[0] for row in test] and list(table.columns[1:]) == list(other.classes)
    # "new" has 3 of the folder's 9 rows; the others share what is left as they did, fold by fold.
    np.testing.assert_allclose(table["new"], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(table[["high", "low"]].sum(axis=1), 2 / 3, rtol=1e-6)
    folds = [pd.read_parquet(run_a.folder / f"fold{fold}/test.parquet").set_index("id") for fold in (0, 1)]
    folds = [fold.loc[[row[0].replace("other", "t") for row in test], ["high", "low"]].to_numpy() for fold in folds]
    expected = np.mean([fold / fold.sum(1, keepdims=True) * 2 / 3 for fold in folds], axis=0)
    np.testing.assert_allclose(table[["high", "low"]], expected, rtol=1e-5)  # other batches round otherwise


def test_classes_in_another_order_are_the_same_numbers(run_a, sounds_folder, tmp_path):
    turned = open_competition(sounds_folder)
    object.__setattr__(turned, "classes", tuple(reversed(turned.classes)))
    table = run_predict(run_a, turned, tmp_path)
    assert tuple(table.columns[1:]) == ("mid", "low", "high")
    pd.testing.assert_frame_equal(table[["id", *NAMES]], run_a.test, check_exact=True)


def test_runs_are_mixed_as_the_results_room_mixes_them(run_a, run_b, sounds, tmp_path):
    runs, tests = [run_a, run_b], [run_a.test, run_b.test]
    table = run_predict(runs, sounds, tmp_path, weights=[1.0, 3.0])
    pd.testing.assert_frame_equal(table, weighted(tests, np.array([0.25, 0.75])), check_exact=True)
    table = run_predict(runs, sounds, tmp_path, how="geometric mean")
    pd.testing.assert_frame_equal(table, geometric_mean(tests), check_exact=True)


def test_a_blend_of_the_ledger_is_made_again(run_a, run_b, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [run_a, run_b]
    blend = blend_runs(runs)["geometric mean"]
    row = record_predictions("work/blend", blend, geometric_mean([run.test for run in runs]), sounds)
    run_predict(**read_blend("work/blend"), data=sounds, cache=tmp_path, out="again.csv")
    assert Path("again.csv").read_bytes() == Path(row["file"]).read_bytes()
    fitted = blend_runs(runs)["fitted weights"]
    record_predictions("work/fitted", fitted, geometric_mean([run.test for run in runs]), sounds)
    assert sum(read_blend("fitted weights")["weights"]) == pytest.approx(1)
    record(run_a, sounds)
    assert read_blend("a")["runs"][0].resolve() == run_a.folder
    with pytest.raises(ValueError, match=r"ledger.csv: no row 'work/blond' \(did you mean work/blend\?\)"):
        read_blend("work/blond")


def test_what_a_kill_left_is_gone_on_with(run_a, sounds, tmp_path, monkeypatch):
    """Killed in the second fold: the first is kept, and no file is packed again."""
    real, begun = FoldServing.predict, []

    def killed(self, *arguments):
        begun.append(self.net.fold)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(FoldServing, "predict", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(run_a, sounds, cache=tmp_path, progress=False)
    monkeypatch.setattr(packing.Packing, "step", lambda self: pytest.fail("packed again"))
    pd.testing.assert_frame_equal(run_predict(run_a, sounds, tmp_path), run_a.test, check_exact=True)
    assert begun == [0, 1, 1]
    run_predict(run_a, sounds, tmp_path)
    assert begun == [0, 1, 1]  # all is kept


def test_a_kept_fold_that_is_cut_short_is_made_again(run_a, sounds, tmp_path):
    run_predict(run_a, sounds, tmp_path)
    kept = sorted((tmp_path / "predictions").glob("*.parquet"))
    assert len(kept) == 2
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    pd.testing.assert_frame_equal(run_predict(run_a, sounds, tmp_path), run_a.test, check_exact=True)


def test_each_file_is_decoded_once_for_all_nets(run_a, run_b, sounds, tmp_path, monkeypatch):
    from kit.data import rows

    real, read = rows.WaveReader, []
    monkeypatch.setattr(rows, "WaveReader", lambda path, *rest: read.append(path.name) or real(path, *rest))
    run_predict([run_a, run_b], sounds, tmp_path)
    usable = [file for file, _, _ in TEST if file != "t3.wav"]  # the empty one is known not to be a sound
    assert sorted(read) == sorted(usable)


@pytest.mark.nightly
def test_processes_that_share_the_batches_give_the_same_bits(run_a, sounds, tmp_path):
    from kit.data.store import pack
    from kit.inference.nets import fold_nets
    from kit.inference.serving import Split

    (net,) = fold_nets(run_a, [0])
    serving = FoldServing(net, pack(sounds, tmp_path, net.experiment.features, progress=False))
    one, two = serving.predict(Split(1, 1)), serving.predict(Split(2, 1))
    assert one[1] and two[1]
    np.testing.assert_array_equal(one[0], two[0])


def copied(run, tmp_path):
    return shutil.copytree(run.folder, tmp_path / "copied" / run.folder.name)


def refused(runs, data, match, error=ValueError, **options):
    with pytest.raises(error, match=match), warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(runs, data, progress=False, **options)


def test_bad_input_is_one_line(run_a, sounds, rainforest, tmp_path):
    refused(run_a, sounds, "fold 4 is not finished; there are 0, 1", folds=[4], cache=tmp_path)
    refused([], sounds, "runs must name at least one run, got none")
    refused([run_a, run_a], sounds, "runs must be named once each, got 2 names of 1 runs")
    refused(
        run_a, sounds, r"weights must be 1 number from 0, one a run and not all 0, got \[0.5, 0.5\]", weights=[0.5, 0.5]
    )
    refused(run_a, sounds, 'weights must be None where how is not "mean", got how', weights=[1.0], how="rank mean")
    refused(run_a, sounds, "how must be a way to mix runs, got 'meen'", how="meen")
    refused(run_a, sounds, "minutes must be above 0, got 0", minutes=0)
    refused(run_a, sounds, "threads must be at least 1, got 0", threads=0)
    refused(run_a, sounds, "engine must be one of torch, onnx, openvino, got 'tf'", engine="tf")
    refused(run_a, sounds, "drop must name what to take fewer of, got 'fold'", drop=["fold"])
    refused(run_a, rainforest, "was trained for one label a row, and .* has several labels a row")
    refused(tmp_path, sounds, "must be the folder of a run with finished folds, has no experiment.json",
            FileNotFoundError)  # fmt: skip


def test_runs_of_other_classes_or_images_are_refused(run_a, voices, tmp_path):
    from kit.demos.digits import make_digits

    refused(run_a, voices, "must share a class with .*voices, got 'high', … against 'id0000")
    refused(run_a, open_competition(make_digits(tmp_path / "digits")), "was trained on sound, and .* holds images")


def test_weights_are_held_to_their_digests(run_a, sounds, tmp_path):
    import hashlib

    folder = copied(run_a, tmp_path)
    best = folder / "fold0/best.pt"
    digest = hashlib.sha256(best.read_bytes()).hexdigest()
    for home, name in ((folder, "fold0/best.pt"), (folder.parent, f"{folder.name}/fold0/best.pt")):
        (home / "sha256.json").write_text(json.dumps({name: digest}))
        run_predict(folder, sounds, tmp_path / "cache")
        (home / "sha256.json").write_text(json.dumps({name: "0" * 64}))
        refused(folder, sounds, r"best.pt: sha256 must be the one in sha256.json, 000000000000…, got")
        (home / "sha256.json").unlink()
    best.unlink()
    refused(folder, sounds, "best.pt: no such file, and fold 0 can't be predicted", FileNotFoundError)


def test_a_run_without_written_priors_takes_them_from_the_other_folds(run_a, sounds, tmp_path):
    folder = copied(run_a, tmp_path)
    for fold in (0, 1):
        path = folder / f"fold{fold}/metrics.json"
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items()
                                    if key != "priors"}))  # fmt: skip
    pd.testing.assert_frame_equal(run_predict(folder, sounds, tmp_path), run_a.test, check_exact=True)


def test_a_full_disk_costs_what_is_kept_but_not_the_predictions(run_a, sounds, tmp_path, monkeypatch):
    from kit.inference import kept

    def full(path, table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "write_parquet", full)
    pd.testing.assert_frame_equal(run_predict(run_a, sounds, tmp_path), run_a.test, check_exact=True)


class Engine:
    """What load_engine gives, of a fold's own net in PyTorch."""

    def __init__(self, path, threads):
        from kit.training.checkpoint import load_model

        best = path.parents[1] / path.stem / "best.pt"
        self.path, self.net = path, load_model(best)[0]
        self.facts = {"sha256": {path.stem: file_sha256(best)}, "takes": "mel", "gives": "logits"}

    def __call__(self, mel, mask):
        assert mel.dtype == np.float32
        return self.net(torch.from_numpy(mel), None if mask is None else torch.from_numpy(mask))[0].numpy()


def test_an_exported_net_is_given_the_same_batches(run_a, sounds, tmp_path, monkeypatch):
    folder = copied(run_a, tmp_path)
    refused(folder, sounds, "exported/fold0.onnx: no such file; python -m kit export writes it", FileNotFoundError,
            engine="onnx", cache=tmp_path)  # fmt: skip
    (folder / "exported").mkdir()
    for fold in (0, 1):
        (folder / f"exported/fold{fold}.onnx").write_bytes(b"exported")
    monkeypatch.setattr(serving, "load_engine", Engine)
    table = run_predict(folder, sounds, tmp_path, engine="onnx")
    pd.testing.assert_frame_equal(table, run_a.test, check_exact=True)
    made = sorted((tmp_path / "predictions").iterdir())
    (folder / "exported/fold0.onnx").write_bytes(b"exported again")
    run_predict(folder, sounds, tmp_path, engine="onnx")
    assert len(list((tmp_path / "predictions").iterdir())) == len(made) + 1  # of that fold alone

    monkeypatch.setattr(Engine, "__call__", lambda *_: pytest.fail("used"))
    for change, match in (
        ({"sha256": {"fold0": "0" * 64}}, "fold0.onnx: was exported from another best.pt; export it again"),
        ({"takes": "wave"}, 'fold0.onnx: must be exported with mel "outside" and mean False'),
    ):

        def changed(path, threads, change=change):
            engine = Engine(path, threads)
            engine.facts |= change
            return engine

        monkeypatch.setattr(serving, "load_engine", changed)
        refused(folder, sounds, match, engine="onnx", cache=tmp_path / "other", folds=[0])


def test_a_fold_that_stopped_at_the_end_of_its_minutes_is_predicted_too(run_a, sounds, tmp_path):
    folder = copied(run_a, tmp_path)
    (folder / "fold1/metrics.json").rename(folder / "fold1/so_far.json")
    with pytest.warns(UserWarning, match="a-s0 fold 1: is unfinished, after 1 of 1 epochs"):
        pd.testing.assert_frame_equal(run_predict(folder, sounds, tmp_path), run_a.test, check_exact=True)
    (folder / "fold1/so_far.json").unlink()
    refused(folder, sounds, "fold 1 is not finished; there are 0", folds=[0, 1], cache=tmp_path)


def test_a_fold_that_is_gone_is_told_and_not_left_out(run_a, sounds, tmp_path):
    folder = copied(run_a, tmp_path)
    shutil.rmtree(folder / "fold1")
    refused(folder, sounds, "fold 1 is listed in metrics.json and is not there; .* by --folds 0", cache=tmp_path)
    table = run_predict(folder, sounds, tmp_path, folds=[0])
    pd.testing.assert_frame_equal(table, pd.read_parquet(folder / "fold0/test.parquet"), check_exact=True)


def test_fewer_folds_than_the_experiment_has_are_told(run_a, sounds, tmp_path):
    folder = copied(run_a, tmp_path)
    shutil.rmtree(folder / "fold1")
    facts = json.loads((folder / "metrics.json").read_text())
    facts["folds"].pop("1")
    (folder / "metrics.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="a-s0: 1 of 2 folds were trained, the mean is over those"):
        run_predict(folder, sounds, tmp_path)


def test_a_missing_export_is_an_error_under_a_clock_too(run_a, sounds, tmp_path):
    refused(run_a, sounds, "exported/fold0.onnx: no such file", FileNotFoundError, engine="onnx", minutes=1.0,
            out=tmp_path / "s.csv", cache=tmp_path)  # fmt: skip
    assert not (tmp_path / "s.csv").exists()


def test_a_row_of_which_a_net_gives_nan_costs_that_fold_its_say_alone(run_a, sounds, tmp_path, monkeypatch):
    real = FoldServing.batches

    def nan(self, batches, threads):
        for positions, probability in real(self, batches, threads):
            if self.net.fold == 0:
                probability[positions == 5] = np.nan
            yield positions, probability

    monkeypatch.setattr(FoldServing, "batches", nan)
    with pytest.warns(UserWarning, match="of 1 test rows, such as 't5.wav', some folds gave NaN"):
        table = run_predict(run_a, sounds, tmp_path, minutes=5.0, out=tmp_path / "s.csv").set_index("id")
    folds = [pd.read_parquet(run_a.folder / f"fold{fold}/test.parquet").set_index("id") for fold in (0, 1)]
    expected = (folds[0] + folds[1]) / 2
    expected.loc["t5.wav"] = (1 / 3 + folds[1].loc["t5.wav"]) / 2
    pd.testing.assert_frame_equal(table, expected.astype(np.float32), atol=1e-6)


@pytest.mark.parametrize(
    "full", ["kit.data.dataset.SpectrogramDataset.__getitems__", "kit.models.net.NetModule.forward"]
)
def test_a_full_memory_is_one_line_with_the_clip_and_the_field(run_a, sounds, tmp_path, capsys, monkeypatch, full):
    from kit.__main__ import main

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(full, no_memory)
    options = ["--data", sounds.folder, "--out", tmp_path / "s.csv", "--cache", tmp_path]
    assert main(list(map(str, ["predict", run_a.folder, *options]))) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"kit predict: .* no memory for batch_frames 4096 \(t\d+.wav, 48 frames\): try .* 2048.*", last)
    assert not (tmp_path / "s.csv").exists()


def test_out_is_judged_before_any_work(run_a, sounds, tmp_path):
    (tmp_path / "file").touch()
    refused(run_a, sounds, "out must be a file, got the folder", out=tmp_path)
    refused(run_a, sounds, "out must be a file in a folder, got .*/file/s.csv, and .*/file is a file",
            out=tmp_path / "file/s.csv")  # fmt: skip


def test_a_list_of_digests_that_is_none_is_one_line(run_a, sounds, tmp_path):
    folder = copied(run_a, tmp_path)
    for value, match in (("[1]", "must hold a JSON object, got a list"), ('{"a": 1}', "a must have a digest, got 1")):
        (folder / "sha256.json").write_text(value)
        refused(folder, sounds, f"sha256.json: {match}")
