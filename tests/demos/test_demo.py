import hashlib
import json
import multiprocessing
import re

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import soundfile
import torch

from kit.data.audio import load_wave
from kit.data.features import MelFilterbank
from kit.demos import demo, publish
from kit.demos.demo import draw_keywords, make_keywords, make_voices
from kit.demos.publish import DemoError
from kit.demos.tract import say_utterance
from kit.demos.voices import VOWELS, truth_at

SMALL = {"n_speakers": 3, "n_train": 4, "n_test": 2}
TINY = {"n_speakers": 2, "n_train": 2, "n_test": 1}
FEW = {"n_keywords": 3, "n_speakers": 2, "n_takes": 2, "n_test_speakers": 1}


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return make_voices(tmp_path_factory.mktemp("demo") / "voices", **SMALL)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_voices(tmp_path_factory.mktemp("demo") / "tiny", **TINY)


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    return make_keywords(tmp_path_factory.mktemp("demo") / "keywords", **FEW)


@pytest.fixture(scope="module")
def truth(voices):
    with np.load(voices / "truth" / "tracks.npz") as file:
        return dict(file)


def read_json(path):
    return json.loads(path.read_text())


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_tables_are_in_hw4s_layout(voices):
    metadata, testdata = read_json(voices / "metadata.json"), read_json(voices / "testdata.json")
    assert metadata["n_mels"] == testdata["n_mels"] == 40
    assert {name: len(mine) for name, mine in metadata["speakers"].items()} == dict.fromkeys(
        ["id00000", "id00001", "id00002"], 4
    )
    assert read_json(voices / "mapping.json") == {
        "speaker2id": {"id00000": 0, "id00001": 1, "id00002": 2},
        "id2speaker": {"0": "id00000", "1": "id00001", "2": "id00002"},
    }
    rows = [row for mine in metadata["speakers"].values() for row in mine] + testdata["utterances"]
    assert len({row["feature_path"] for row in rows}) == 18
    assert {row["feature_path"] for row in rows} == {path.name for path in voices.glob("*.pt")}
    for row in rows:
        assert re.fullmatch(r"uttr-[0-9a-f]{32}\.pt", row["feature_path"])
        mel = torch.load(voices / row["feature_path"], weights_only=True)
        assert mel.dtype == torch.float32 and mel.shape == (row["mel_len"], 40)
        assert 118 <= row["mel_len"] <= 248  # 1.2 to 2.5 s


def test_features_are_the_log_mels_of_the_audio(voices):
    path = min(voices.glob("*.pt"))
    wave = load_wave(voices / "audio" / f"{path.stem}.flac", 16000)
    assert soundfile.info(voices / "audio" / f"{path.stem}.flac").subtype == "PCM_16"
    torch.testing.assert_close(torch.load(path, weights_only=True), MelFilterbank()(wave[None])[0], atol=1e-4, rtol=0)


def test_solution_covers_the_test_part_shuffled_and_half_public(voices):
    solution = pd.read_csv(voices / "solution.csv")
    assert list(solution.columns) == ["Id", "Category", "Usage"]
    assert list(solution["Id"]) == [row["feature_path"] for row in read_json(voices / "testdata.json")["utterances"]]
    assert solution["Category"].value_counts().to_dict() == {"id00000": 2, "id00001": 2, "id00002": 2}
    assert list(solution["Category"]) != sorted(solution["Category"])
    assert solution["Usage"].value_counts().to_dict() == {"Public": 3, "Private": 3}


def test_names_do_not_lie_in_the_order_of_speakers(voices):
    speakers = read_json(voices / "metadata.json")["speakers"]
    owners = sorted((row["feature_path"], speaker) for speaker, mine in speakers.items() for row in mine)
    assert [speaker for _, speaker in owners] != sorted(speaker for _, speaker in owners)


def test_truth_has_a_row_a_frame(voices, truth):
    lengths = {path.name: len(torch.load(path, weights_only=True)) for path in voices.glob("*.pt")}
    assert dict(zip(truth["name"].tolist(), np.diff(truth["offset"]).tolist(), strict=True)) == lengths
    n_frames = sum(lengths.values())
    assert truth["formants_hz"].shape == (n_frames, 4) and truth["pitch_hz"].shape == (n_frames,)
    assert truth["voiced"].shape == (n_frames,) and truth["phone"].shape == (n_frames,)
    assert (np.diff(truth["formants_hz"], axis=1) > 0).all()
    assert (truth["formants_hz"][:, 0] > 150).all() and (truth["formants_hz"][:, 3] < 6000).all()
    assert np.array_equal(truth["pitch_hz"] > 0, truth["voiced"])
    assert set(truth["vowels"]) == set(VOWELS) < set(truth["phone_names"])


def test_truth_is_that_of_the_first_utterance_at_the_centres_of_its_frames(truth):
    _, tracks = say_utterance(0, 0, 0)
    n_frames = truth["offset"][1]
    expected = truth_at(tracks, 0.0125 + 0.010 * np.arange(n_frames))  # half a window of 25 ms, a hop of 10
    for name, track in expected.items():
        np.testing.assert_allclose(truth[name][:n_frames], track, rtol=1e-6)


def test_lpc_finds_the_true_formants(voices, truth):
    errors = []
    is_vowel = np.isin(truth["phone_names"][truth["phone"]], VOWELS) & truth["voiced"]
    for number, name in enumerate(truth["name"]):
        wave, _ = soundfile.read(voices / "audio" / name.replace(".pt", ".flac"))
        wave = np.append(0.0, wave[1:] - 0.97 * wave[:-1])
        for frame in range(0, truth["offset"][number + 1] - truth["offset"][number], 4):
            row = truth["offset"][number] + frame
            found = lpc_formants_hz(wave[160 * frame : 160 * frame + 400]) if is_vowel[row] else []
            if len(found) >= 3:
                errors.append(np.abs(found[:3] / truth["formants_hz"][row, :3] - 1))
    assert len(errors) > 200
    assert (np.median(errors, axis=0) < 0.08).all()
    assert np.median(errors) < 0.04


def lpc_formants_hz(frame, order=18):
    """Resonances narrower than 600 Hz of the all-pole fit by the autocorrelation method, lowest first."""
    frame = frame * np.hamming(len(frame))
    lags = np.correlate(frame, frame, "full")[len(frame) - 1 :][: order + 1]
    poles = np.roots(np.append(1.0, -scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])))
    poles = poles[(poles.imag > 0) & (-np.log(np.abs(poles)) * 16000 / np.pi < 600)]
    hz = np.sort(np.angle(poles) * 16000 / (2 * np.pi))
    return hz[hz > 90]


def test_pitch_truth_is_the_period_of_the_wave(voices, truth):
    errors = []
    is_vowel = np.isin(truth["phone_names"][truth["phone"]], VOWELS) & truth["voiced"]
    for number, name in enumerate(truth["name"]):
        wave, _ = soundfile.read(voices / "audio" / name.replace(".pt", ".flac"))
        for row in range(truth["offset"][number] + 4, truth["offset"][number + 1] - 4, 4):
            start = 160 * (row - truth["offset"][number]) + 200 - 400
            if is_vowel[row - 3 : row + 4].all():
                piece = wave[start : start + 800]
                lags = np.correlate(piece, piece, "full")[799:]
                near = round(16000 / truth["pitch_hz"][row])
                lag = near - near // 4 + np.argmax(lags[near - near // 4 : near + near // 4])
                errors.append(abs(16000 / lag / truth["pitch_hz"][row] - 1))
    assert len(errors) > 100
    assert np.median(errors) < 0.02


def test_a_second_process_makes_the_same_bytes(tiny, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=make_voices, args=(tmp_path / "again",), kwargs=TINY)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert digests(tmp_path / "again") == digests(tiny)


def test_many_processes_and_threads_make_the_same_bytes(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PARALLEL_FROM", 1)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert digests(make_voices(tmp_path / "again", **TINY)) == digests(tiny)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)


def test_another_seed_makes_other_voices(tiny, tmp_path):
    other = make_voices(tmp_path / "other", **TINY, seed=1)
    assert not {path.name for path in other.glob("*.pt")} & {path.name for path in tiny.glob("*.pt")}


def test_the_same_call_again_keeps_the_folder(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    assert make_voices(tiny, **TINY) == tiny
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before


def test_a_killed_call_leaves_no_folder_and_the_next_call_makes_it(tmp_path, monkeypatch, tiny):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(demo, "_write_hw4_tables", stop)
        make_voices(tmp_path / "voices", **TINY)
    assert not (tmp_path / "voices").exists()
    assert digests(make_voices(tmp_path / "voices", **TINY)) == digests(tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["voices"]


def test_a_folder_of_anything_else_is_refused_and_kept(voices, tmp_path):
    with pytest.raises(DemoError, match=r"folder must hold the demo asked for, .*'seed': 9.*made with .*'seed': 0"):
        make_voices(voices, **SMALL, seed=9)
    with pytest.raises(DemoError, match="folder must hold the demo asked for, .*'keywords'.*'voices'"):
        make_keywords(voices, **FEW)
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(DemoError, match=f"folder must be new, empty or this demo, got {tmp_path}, which holds"):
        make_voices(tmp_path, **SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "words"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_speakers": 1}, "n_speakers must be a whole number of at least 2, got 1"),
        ({"n_train": 0}, "n_train must be a whole number of at least 1, got 0"),
        ({"n_test": 2.5}, "n_test must be a whole number of at least 1, got 2.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_numbers_are_named(tmp_path, arguments, message):
    with pytest.raises(DemoError, match=message):
        make_voices(tmp_path / "voices", **arguments)


def test_progress_is_shown_on_request(tmp_path, capsys):
    make_voices(tmp_path / "voices", n_speakers=2, n_train=1, n_test=1, progress=True)
    assert "voices: 100%" in capsys.readouterr().err


def test_keywords_are_in_the_plain_tables_layout(keywords):
    train, solution = pd.read_csv(keywords / "train.csv"), pd.read_csv(keywords / "solution.csv")
    sample = pd.read_csv(keywords / "sample_submission.csv")
    assert list(train.columns) == ["file", "keyword", "speaker"] and len(train) == 3 * 2 * 2
    assert set(train["file"]) == {path.name for path in (keywords / "train").iterdir()}
    assert list(solution.columns) == ["file", "keyword", "Usage"] and len(solution) == 3 * 1 * 2
    assert set(solution["file"]) == {path.name for path in (keywords / "test").iterdir()}
    assert list(sample.columns) == ["file", "keyword"] and list(sample["file"]) == list(solution["file"])
    assert set(train["keyword"]) == set(solution["keyword"]) == set(draw_keywords(3, seed=0, n_syllables=1))
    assert sample["keyword"].nunique() == 1
    assert train.groupby("keyword")["speaker"].nunique().tolist() == [2, 2, 2]
    assert solution["Usage"].value_counts().to_dict() == {"Public": 3, "Private": 3}


def test_keyword_clips_last_a_second_and_differ(keywords):
    clips = [load_wave(path, 16000) for path in sorted(keywords.glob("t*/*.flac"))]
    assert {len(clip) for clip in clips} == {16000}
    assert len({clip.numpy().tobytes() for clip in clips}) == len(clips) == 18


def test_keywords_make_the_same_bytes_again(keywords, tmp_path):
    assert digests(make_keywords(tmp_path / "again", **FEW)) == digests(keywords)


def test_keywords_are_spelt_as_they_are_spoken_and_differ():
    for n_syllables in (1, 2):
        words = draw_keywords(30, seed=0, n_syllables=n_syllables)
        assert len(words) == 30
        phones = {len(phones) for phones in words.values()}
        assert phones == {2 * n_syllables, 2 * n_syllables + 1}
        assert all("".join(phones) == word for word, phones in words.items())
        assert list(draw_keywords(12, seed=0, n_syllables=n_syllables)) == list(words)[:12]
    assert len(draw_keywords(500, seed=0, n_syllables=1)) == 500
    with pytest.raises(DemoError, match="n_syllables must be 1 or 2, got 3"):
        draw_keywords(3, seed=0, n_syllables=3)
    with pytest.raises(DemoError, match="n_keywords must be at most 500, got 501"):
        draw_keywords(501, seed=0, n_syllables=2)
    with pytest.raises(DemoError, match="n_takes must be a whole number of at least 1, got 0"):
        make_keywords("never", n_takes=0)
