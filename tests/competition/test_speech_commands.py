import re

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from tests.competition.table_folders import make_speech_commands

CLIP = "train/audio/yes/0a7c2a8d_nohash_0.wav"


@pytest.fixture
def folder(tmp_path):
    return make_speech_commands(tmp_path / "speech")


def refused(folder, message):
    with pytest.raises(CompetitionError, match=re.escape(message)) as caught:
        open_competition(folder)
    assert str(folder) in str(caught.value)


def test_words_are_labels_and_speakers_groups(folder):
    competition = open_competition(folder)
    assert (competition.layout, competition.task, competition.metric) == ("speech_commands", "single", "accuracy")
    assert len(competition.classes) == 12 and competition.label_columns == ("label",)
    clips = competition.train[competition.train["source"] != "noise"].set_index("id")
    assert len(clips) == 12 and clips["label"].value_counts().to_dict() == {"unknown": 6, "yes": 3, "stop": 3}
    assert clips.loc["yes/0a7c2a8d_nohash_0.wav", ["path", "label", "group", "source"]].tolist() == [
        CLIP, "yes", "0a7c2a8d", "validation",
    ]  # fmt: skip
    assert clips["source"].value_counts().to_dict() == {"training": 9, "validation": 2, "testing": 1}
    assert clips["start_seconds"].isna().all() and clips["end_seconds"].isna().all()
    names = [f"clip_{name}.wav" for name in ("000044442", "0000adecb", "0000d4322")]
    assert competition.test["id"].tolist() == names
    assert competition.test["path"].tolist() == [f"test/audio/{name}" for name in names]


def test_silence_is_cut_from_the_noise(folder):
    train = open_competition(folder).train
    noise = train[train["label"] == "silence"]
    assert noise["id"].tolist() == [f"_background_noise_/{n}" for n in (
        "running_tap.wav:0", "running_tap.wav:1", "running_tap.wav:2", "white_noise.wav:0", "white_noise.wav:1",
    )]  # fmt: skip
    np.testing.assert_array_equal(noise["end_seconds"] - noise["start_seconds"], 1)
    assert noise["group"].tolist() == ["running_tap.wav"] * 3 + ["white_noise.wav"] * 2
    assert train["id"].is_unique


def test_what_is_not_there_is_told(folder):
    notes = open_competition(folder).notes
    assert notes[:3] == (
        "folds: clips of one speaker stay together (3 of them)", "unknown: 6 clips of 2 other words",
        "silence: 5 seconds of _background_noise_",
    )  # fmt: skip


def test_the_lists_may_lie_beside_the_words(folder):
    """As in the dataset that the contest was made of."""
    for path in (folder / "train/audio").iterdir():
        path.rename(folder / path.name)
    (folder / "train/validation_list.txt").rename(folder / "validation_list.txt")
    competition = open_competition(folder)
    assert competition.train["path"][0].startswith("bed/") and len(competition.train) == 17


def add_line(folder, name, line):
    with (folder / "train" / name).open("a") as file:
        file.write(f"{line}\n")


def test_faults_are_named(folder):
    add_line(folder, "testing_list.txt", "yes/0a7c2a8d_nohash_0.wav")
    refused(
        folder, "train/testing_list.txt: line 2: must name a clip that no line has yet, got 'yes/0a7c2a8d_nohash_0.wav'"
    )
    add_line(folder, "validation_list.txt", "yes/gone.wav")
    refused(folder, "train/validation_list.txt: line 3: must name a clip as WORD/NAME, got 'yes/gone.wav'")
    (folder / CLIP).rename(folder / "train/audio/yes/me.wav")
    refused(folder, "train/audio/yes/me.wav: must be named WORD/SPEAKER_nohash_N.wav, got 'yes/me.wav'")


def test_noise_that_is_no_audio_is_named(folder):
    (folder / "train/audio/_background_noise_/running_tap.wav").write_bytes(b"no audio")
    refused(folder, "train/audio/_background_noise_/running_tap.wav: not audio that can be read")
    (folder / CLIP).write_bytes(b"")
    refused(folder, f"{CLIP}: the file is empty")


def test_a_folder_without_the_ten_words_is_refused(folder):
    for word in ("yes", "stop"):
        (folder / "train/audio" / word).rename(folder / "train/audio" / f"{word}s")
    refused(folder, "train/audio: must hold folders of clips named yes, no, up")


def test_a_sample_with_a_column_a_class_is_refused(folder):
    (folder / "sample_submission.csv").write_text("fname,yes,no\nclip_000044442.wav,0,0\n")
    refused(folder, "sample_submission.csv: line 1: must have a column of ids and one of labels, got fname,yes,no")


def test_an_archive_must_be_unpacked(tmp_path):
    (tmp_path / "train.7z").write_bytes(b"7z")
    refused(tmp_path, "train.7z: must be unpacked to be read, as by 7z x train.7z")
