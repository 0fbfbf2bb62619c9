"""What a table's ids may be called, against what lies on disk: found, or told with what differs."""

import os
import unicodedata

import numpy as np
import pytest
import soundfile

from kit.competition.audio_files import convert_hint, find_audio, find_in_any_folder, part_of
from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError, Listing
from kit.data.audio import AudioError, load_wave

CAFE = "café"  # é as one letter
CAFE_IN_TWO = unicodedata.normalize("NFD", CAFE)


def sound(path, form="WAV", subtype=None, n_samples=1600):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.random.default_rng(sum(path.name.encode())).standard_normal(n_samples)
    with open(path, "wb") as file:
        soundfile.write(file, wave, 16000, format=form, subtype=subtype)


def table(folder, names, form="WAV", subtype=None, test=("t.wav",), suffix=""):
    """A table of the ids `names`, each a file of that name and suffix; labels by turns."""
    for name in names:
        sound(folder / "train" / f"{name}{suffix}", form, subtype)
    for name in test:
        sound(folder / "test" / name)
    lines = [f"{name},{'yes' if number % 2 else 'no'}\n" for number, name in enumerate(names)]
    (folder / "train.csv").write_text("file,label\n" + "".join(lines))
    (folder / "sample_submission.csv").write_text("file,label\n" + "".join(f"{name},no\n" for name in test))
    return folder


def refused(folder, message):
    with pytest.raises(CompetitionError) as caught:
        open_competition(folder)
    assert message in str(caught.value)


READ = {
    ".wav": ("WAV", None), ".WAV": ("WAV", None), ".Flac": ("FLAC", None), ".opus": ("OGG", "OPUS"),
    ".ogg": ("OGG", None), ".oga": ("OGG", None), ".aiff": ("AIFF", None), ".AIF": ("AIFF", None),
    ".mp3": ("MP3", None), ".au": ("AU", None), ".caf": ("CAF", None), ".w64": ("W64", None),
}  # fmt: skip


@pytest.mark.parametrize("suffix", READ)
def test_ids_without_a_suffix_are_found(tmp_path, suffix):
    competition = open_competition(table(tmp_path, ["a", "b.5"], *READ[suffix], suffix=suffix))
    assert competition.train["path"].tolist() == [f"train/a{suffix}", f"train/b.5{suffix}"]
    for path in competition.train["path"]:
        assert len(load_wave(tmp_path / path, 16000)) >= 1600


def test_files_of_one_name_are_preferred_in_order(tmp_path):
    for suffix, form in ((".wav", "WAV"), (".FLAC", "FLAC"), (".txt", "AU")):
        sound(tmp_path / f"train/a{suffix}", form)
    assert find_audio(Listing(tmp_path), "a", "train") == ("train/a.FLAC", None)


@pytest.mark.parametrize("suffix", [".m4a", ".M4A", ".aac", ".webm"])
def test_what_libsndfile_does_not_read_is_named_with_what_to_do(tmp_path, suffix):
    folder = table(tmp_path, ["a", "b"], suffix=suffix)
    refused(
        folder,
        f"line 2 (a): 'train/a{suffix}' is not audio that can be read here: convert it, as by ffmpeg -i a{suffix}",
    )
    path = tmp_path / f"c{suffix}"
    path.write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(AudioError, match=f": convert it, as by ffmpeg -i c{suffix} c.flac"):
        load_wave(path, 16000)
    assert convert_hint("train/c.m4a") == "convert it, as by ffmpeg -i c.m4a c.flac"


def test_a_suffix_in_another_case_is_found_and_another_suffix_is_named(tmp_path):
    folder = table(tmp_path, ["a.wav", "b.wav"])
    os.rename(folder / "train/a.wav", folder / "train/a.WAV")
    assert open_competition(folder).train["path"].tolist() == ["train/a.WAV", "train/b.wav"]
    os.rename(folder / "train/a.WAV", folder / "train/a.flac")
    refused(folder, "line 2 (a.wav): no such file on disk, but 'train/a.flac': looked for train/a.wav")


def test_a_name_in_another_case_is_named(tmp_path):
    folder = table(tmp_path, ["a.wav", "b.wav"])
    os.rename(folder / "train/a.wav", folder / "train/A.wav")
    refused(folder, "line 2 (a.wav): no such file on disk, but 'train/A.wav': looked for train/a.wav")


@pytest.mark.parametrize(("in_table", "on_disk"), [(CAFE, CAFE_IN_TWO), (CAFE_IN_TWO, CAFE), (CAFE, CAFE)])
@pytest.mark.parametrize("suffix", ["", ".wav"])
def test_accents_in_any_unicode_form_are_found(tmp_path, in_table, on_disk, suffix):
    folder = table(tmp_path, [f"{in_table}{suffix}", "b.wav"])
    os.rename(folder / f"train/{in_table}{suffix}", folder / f"train/{on_disk}.wav")
    assert open_competition(folder).train["path"].tolist() == [f"train/{on_disk}.wav", "train/b.wav"]


def test_one_file_named_in_two_forms_is_told_with_what_differs(tmp_path):
    folder = table(tmp_path, [f"{CAFE}.wav", "b.wav"])
    with (folder / "train.csv").open("a") as file:
        file.write(f"{CAFE_IN_TWO}.wav,yes\n")
    refused(folder, r"the same file as line 2, 'caf\xe9.wav', spelt 'cafe\u0301.wav'")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("train\\a.wav", r"the path must have / between its folders, got 'train\\a.wav' with a backslash"),
        (
            "C:\\data\\a.wav",
            r"the path leaves the competition's folder: it must be relative to it, without .., got 'C:\\",
        ),
        (
            "/data/a.wav",
            "the path leaves the competition's folder: it must be relative to it, without .., got '/data/a",
        ),
        ("../a.wav", "the path leaves the competition's folder: it must be relative to it, without .., got '../a.wav'"),
        (".hidden.wav", "hidden entries are left out, such as .hidden.wav"),
        ("__MACOSX/a.wav", "hidden entries are left out, such as __MACOSX"),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_path_is_refused_by_the_rule_that_it_breaks(tmp_path, name, rule, part):
    folder = table(tmp_path, ["a.wav", "b.wav"])
    file = folder / ("train.csv" if part == "train" else "sample_submission.csv")
    file.write_text(file.read_text().replace("a.wav" if part == "train" else "t.wav", name))
    refused(folder, rule)


@pytest.mark.parametrize("archive", ["train.zip", "train.tar.gz"])
def test_an_archive_that_was_not_unpacked_is_named(tmp_path, archive):
    folder = table(tmp_path, ["a.wav", "b.wav"])
    os.rename(folder / "train", tmp_path.parent / f"{tmp_path.name}-unpacked")
    (folder / archive).write_bytes(b"PK")  # what lies in it is not looked at
    refused(folder, f"(a.wav): no such file on disk, but {archive}, which must be unpacked: looked for train/a.wav")


def test_links_are_told_wherever_they_are(tmp_path):
    folder, outside = table(tmp_path / "data", ["deep/a.wav", "b.wav"]), tmp_path / "outside"
    os.rename(folder / "train/deep", outside)
    (folder / "train/deep").symlink_to(outside)
    refused(folder, "(deep/a.wav): the link train/deep on the way to it leaves the competition's folder")
    (folder / "train/deep").unlink()
    os.rename(outside, folder / "elsewhere")
    (folder / "train/deep").symlink_to("../elsewhere")
    refused(
        folder, "(deep/a.wav): the link train/deep on the way to it leads to a folder: only links to files are followed"
    )
    (folder / "train/deep").unlink()
    (folder / "train/deep").symlink_to("gone")
    refused(folder, "(deep/a.wav): the link train/deep on the way to it leads to no file")
    (folder / "train/deep").unlink()
    (folder / "train/deep").mkdir()
    (folder / "train/deep/a.wav").symlink_to("../../elsewhere/a.wav")
    assert open_competition(folder).train["path"].tolist() == ["train/deep/a.wav", "train/b.wav"]


@pytest.mark.parametrize("target", ["../train.csv", "gone.csv"])
def test_a_marker_that_is_a_link_is_told(tmp_path, target):
    folder = table(tmp_path / "data", ["a.wav", "b.wav"])
    os.rename(folder / "train.csv", tmp_path / "train.csv")
    (folder / "train.csv").symlink_to(target)
    refused(folder, "train.csv: the link leads to no file" if target == "gone.csv" else "train.csv: the link leaves")


def test_test_files_that_can_not_be_used_cost_their_own_rows(tmp_path):
    folder = table(tmp_path, ["a.wav", "b.wav"], test=("t0.wav", "t1.wav", "t2.wav"))
    (folder / "test/t0.wav").write_bytes(b"")
    (folder / "test/t1.wav").rename(folder / "test/t1.m4a")
    competition = open_competition(folder)
    priors = "it will be given the class priors"
    assert [note for note in competition.notes if "priors" in note] == [
        f"sample_submission.csv: line 2 (t0.wav): the file is empty; {priors}",
        "sample_submission.csv: line 3 (t1.wav): no such file on disk, but 'test/t1.m4a': looked for test/t1.wav; "
        + priors,
    ]
    assert [bool(fault) for fault in competition.test["fault"]] == [True, True, False]
    (folder / "test/t2.wav").unlink()
    refused(folder, "sample_submission.csv: no test file can be used, such as t0.wav: the file is empty")


def test_labels_that_look_alike_are_told(tmp_path):
    folder = table(tmp_path, ["a.wav", "b.wav", "c.wav", "d.wav"])
    (folder / "train.csv").write_text("file,label\na.wav,cat\nb.wav,cat \nc.wav,Cat\nd.wav,dog\n")
    assert (
        "labels that look alike are 3 classes: 'Cat' (1 rows), 'cat' (1 rows), 'cat ' (1 rows)"
        in open_competition(folder).notes
    )
    (folder / "train.csv").write_text(f"file,label\na.wav,{CAFE}\nb.wav,{CAFE_IN_TWO}\nc.wav,dog\nd.wav,dog\n")
    assert (
        r"labels that look alike are 2 classes: 'cafe\u0301' (1 rows), 'caf\xe9' (1 rows)"
        in open_competition(folder).notes
    )


def test_folds_are_told_at_opening(tmp_path):
    folder = table(tmp_path, ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"])
    rows = ["file,label,Speaker", "a.wav,cat,x", "b.wav,cat,y", "c.wav,dog,x", "d.wav,dog,y", "e.wav,owl,x"]
    (folder / "train.csv").write_text("\n".join(rows))
    notes = open_competition(folder).notes
    assert notes[0].startswith("folds: rows are taken one by one, for train.csv has no column group, speaker, ")
    assert notes[1].startswith("train.csv: column 'Speaker' is not used, though its 2 values repeat over 5 rows")
    assert notes[2].startswith("class 'owl': of one row, in the training part of every fold")
    (folder / "train.csv").write_text("\n".join(rows).replace("Speaker", "speaker").replace("owl,x", "owl,z"))
    notes = open_competition(folder).notes
    assert notes[0] == "folds: rows of train.csv with the same speaker stay together (3 of them)"
    assert notes[1].startswith("class 'owl': of one group, in the training part of every fold")


@pytest.fixture
def scattered(tmp_path):
    """Files of some names in several folders."""
    for path in ("a/x/1.wav", "b/2.wav", "b/deep/2.wav", "b/3.flac", "b/3.wav", "test/4.wav", "train/5.wav", "c/6.txt"):
        sound(tmp_path / path)
    (tmp_path / "c/7.wav").write_bytes(b"")
    return Listing(tmp_path)


@pytest.mark.parametrize(
    ("name", "folder", "row", "path"),
    [
        ("1.wav", "train", (), "a/x/1.wav"),
        ("1.WAV", "train", (), "a/x/1.wav"),
        ("1", "test", (), "a/x/1.wav"),
        ("x/1.wav", "train", (), "a/x/1.wav"),
        ("2", "train", ("2", "deep"), "b/deep/2.wav"),
        ("2.wav", "train_noisy", ("deep", "other"), "b/deep/2.wav"),
        ("deep/2.wav", "train", (), "b/deep/2.wav"),
        ("3", "train", (), "b/3.flac"),  # of one folder, the form that is preferred
        ("4", "test", (), "test/4.wav"),
        ("5", "train_noisy", (), "train/5.wav"),
    ],
)
def test_a_file_is_found_in_any_folder(scattered, name, folder, row, path):
    assert find_in_any_folder(scattered, name, folder, row) == (path, None)


@pytest.mark.parametrize(
    ("name", "folder", "rule"),
    [
        ("2.wav", "train", "must say which file it is, 'b/2.wav' or 'b/deep/2.wav', by its folder"),
        ("2", "test", "must say which file it is, 'b/2.wav' or 'b/deep/2.wav', by its folder"),
        ("4.wav", "train", "no such file on disk: looked for train/4.wav"),  # there is one of the test
        ("5.wav", "test/audio", "no such file on disk: looked for test/audio/5.wav"),
        ("6", "train", "no such file on disk: looked for train/6"),  # no audio
        ("7.wav", "train", "the file is empty"),
        (
            "../a/x/1.wav",
            "train",
            "the path leaves the competition's folder: it must be relative to it, without .., got",
        ),
        ("", "train", "the path must be a non-empty string, got ''"),
    ],
)
def test_what_is_in_no_folder_or_in_several_is_told(scattered, name, folder, rule):
    assert find_in_any_folder(scattered, name, folder)[1].startswith(rule)


def test_the_part_of_a_folder():
    paths = {"train/a.wav": "train", "TEST_audio/a.wav": "test", "x/train_1/test/a.wav": "train", "train.wav": None}
    assert {path: part_of(path) for path in paths} == paths
    assert part_of("trainers/a.wav") is None and part_of("example_test_audio/a.wav") is None
