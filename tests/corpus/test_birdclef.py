"""Malformed and odd BirdCLEF folders: read as they stand, or named in one line with file, row and rule."""

import shutil

import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from tests.competition.birdclef_folders import make_birdclef, write_noise

SOUNDSCAPE = "BC2026_Train_0001_S05_20250227_010002.ogg"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {year: make_birdclef(tmp_path_factory.mktemp("birdclef") / str(year), year) for year in (2024, 2026)}


def swap(file, old, new):
    """One text in place of another, once."""

    def spoil(folder):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return spoil


def gone(file):
    return lambda folder: (folder / file).unlink()


def filled(file, content=b""):
    def spoil(folder):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)

    return spoil


def add_row(file, row):
    def spoil(folder):
        with open(folder / file, "a") as table:
            table.write(row + "\n")

    return spoil


def noise(file):
    return lambda folder: write_noise(folder / file, 5.0)


TRAIN, LABELS, SAMPLE, TAXONOMY = "train.csv", "train_soundscapes_labels.csv", "sample_submission.csv", "taxonomy.csv"
CLIP = "asbfly,\"['x']\",[],-16.5,-56.5,X y,A bird,Aves,9,Bo,CC,0.0,https://a.b,{},iNat"
FAULTS = {
    # what is done to 2026's folder, then what the message must say
    "no primary_label": (swap(TRAIN, "primary_label", "label"), "train.csv: line 1: must have the columns primary_lab"),
    "no secondary_labels": (swap(TRAIN, "secondary_labels", "others"), "author, lacks secondary_labels"),
    "no filename": (swap(TRAIN, "filename", "file"), "train.csv: line 1: must have the columns primary_label, seconda"),
    "no author": (swap(TRAIN, "author", "by"), "train.csv: line 1: must have the columns primary_label, secondary_lab"),
    "a column in another case": (swap(TRAIN, "author", "Author"), "author, lacks author"),
    "a column of clips twice": (swap(TRAIN, "rating", "author"), "train.csv: line 1: a column is named twice: 'author"),
    "no table of clips": (gone(TRAIN), ": must have train_metadata.csv or train.csv, which name the clips"),
    "a table without rows": (filled(TRAIN, b"primary_label\n"), "train.csv: must have a header and at least one row"),
    "a label in no class list": (
        swap(TRAIN, "\n22930,", "\nrobin,"),
        "train.csv: line 4 (22930/iNat7.ogg): primary_label must be one of the 5 classes of sample_submission.csv, got",
    ),
    "a numeric label that became a float": (
        swap(TRAIN, "\n22930,", "\n22930.0,"), "primary_label must be one of the 5 classes of sample_submission.csv, g",
    ),
    "a label in another case": (swap(TRAIN, "\nasbfly,", "\nAsbfly,"), "line 2 (asbfly/XC134896.ogg): primary_label m"),
    "an empty label": (swap(TRAIN, "\nasbfly,", "\n,"), "sample_submission.csv, got ''"),
    "secondary labels that are no list": (
        swap(TRAIN, '"[]"', '"22930 asbfly"'),
        "train.csv: line 2 (asbfly/XC134896.ogg): secondary_labels must be a list such as ['a', 'b'], got '22930 asbfl",
    ),
    "secondary labels that never close": (swap(TRAIN, '"[]"', '"[\'22930\'"'), "secondary_labels must be a list such "),
    "secondary labels that are code": (swap(TRAIN, '"[]"', '"[exit()]"'), "secondary_labels must be a list such as"),
    "secondary labels in a list": (swap(TRAIN, '"[]"', '"[[\'22930\']]"'), "secondary_labels must be a list such as"),
    "a clip that is not there": (
        gone("train_audio/asbfly/XC1.ogg"),
        "train.csv: line 3 (asbfly/XC1.ogg): no such file on disk: looked for train_audio/asbfly/XC1.ogg",
    ),
    "a clip of no bytes": (filled("train_audio/asbfly/XC1.ogg"), "line 3 (asbfly/XC1.ogg): the file is empty"),
    "a clip that is no audio": (
        filled("train_audio/asbfly/XC1.ogg", b"<html>"), "line 3 (train_audio/asbfly/XC1.ogg): not audio that can be r",
    ),
    "a clip twice": (add_row(TRAIN, CLIP.format("asbfly/XC1.ogg")), "line 7 (asbfly/XC1.ogg): the same file as line 3"),
    "a clip twice, spelt otherwise": (add_row(TRAIN, CLIP.format("./asbfly/XC1.ogg")), "the same file as line 3"),
    "a clip outside of the folder": (
        add_row(TRAIN, CLIP.format("../../secret.ogg")), "line 7 (../../secret.ogg): the path leaves the competition's",
    ),
    "a clip without a name": (add_row(TRAIN, CLIP.format("")), "line 7 (): the path must be a non-empty string, got '"),
    "a taxonomy without its column": (
        swap(TAXONOMY, "primary_label", "label"), "taxonomy.csv: line 1: must have the column primary_label, got label",
    ),
    "a taxonomy with a class more": (
        add_row(TAXONOMY, "robin,1,X y,A bird,Aves"),
        "taxonomy.csv: line 7: primary_label must be a column of sample_submission.csv, got 'robin'",
    ),
    "a taxonomy with a class less": (
        swap(TAXONOMY, "25073,2,X y,A bird,Aves\n", ""),
        "sample_submission.csv: line 1: each class must be in taxonomy.csv, got '25073'",
    ),
    "a taxonomy with a class twice": (
        add_row(TAXONOMY, "22930,1,X y,A bird,Aves"), "taxonomy.csv: line 7: primary_label must be there once, got '22",
    ),
    "a class of the sample twice": (swap(SAMPLE, "25073", "22930"), "line 1: a column is named twice: '22930'"),
    "a sample with another id": (swap(SAMPLE, "row_id", "id"), "sample_submission.csv: line 1: must be row_id and a c"),
    "a sample of long rows": (
        filled(SAMPLE, b"row_id,target\na_5,1\n"), "line 1: must be row_id and a column a class, got row_id,target",
    ),
    "no sample": (gone(SAMPLE), "sample_submission.csv: no such file on disk"),
    "a row id without a second": (
        swap(SAMPLE, "soundscape_1446779_10", "soundscape"),
        "sample_submission.csv: line 3: row_id must be a file's name, _ and the whole second that a window ends on, go",
    ),
    "a row id with a fraction": (swap(SAMPLE, "_10,", "_10.0,"), "line 3: row_id must be a file's name, _ and the who"),
    "a row id that ends on 0": (swap(SAMPLE, "_10,", "_0,"), "line 3: row_id must be a file's name, _ and the whole s"),
    "a row id twice": (
        swap(SAMPLE, "_10,", "_5,"), "line 3: row_id must be there once, got 'soundscape_1446779_5' as in line 2",
    ),
    "two test files of one name": (
        lambda folder: (noise("test_soundscapes/a.ogg")(folder), noise("test_soundscapes/b/a.ogg")(folder)),
        "must have a name of its own, got that of test_soundscapes/a.ogg",
    ),
    "no start of windows": (swap(LABELS, "start", "begin"), "labels.csv: line 1: must have the columns filename, star"),
    "a column of windows twice": (swap(LABELS, "start", "end"), "labels.csv: line 1: a column is named twice: 'end'"),
    "a window past its file's end": (
        add_row(LABELS, f"{SOUNDSCAPE},00:00:15,00:00:20,asbfly"),
        f"line 7 (train_soundscapes/{SOUNDSCAPE}): the window must start before its file's end, 15 s, got 15 to 20 s",
    ),
    "a window that ends before it starts": (
        add_row(LABELS, f"{SOUNDSCAPE},00:00:10,00:00:05,asbfly"),
        f"train_soundscapes_labels.csv: line 7 ({SOUNDSCAPE}): end must be after start (00:00:10), got 00:00:05",
    ),
    "a window of no time": (
        add_row(LABELS, f"{SOUNDSCAPE},soon,00:00:05,asbfly"), f"line 7 ({SOUNDSCAPE}): start must be a time such as 0",
    ),
    "a window of 61 seconds a minute": (add_row(LABELS, f"{SOUNDSCAPE},0,00:00:61,asbfly"), "end must be a time such "),
    "two windows with one end": (
        add_row(LABELS, f"{SOUNDSCAPE},00:00:01,00:00:05,asbfly"),
        "windows with one end must have one start, 0 s in train_soundscapes_labels.csv: line 2, got 1 s",
    ),
    "a window's label in no class list": (
        swap(LABELS, "asbfly;47158son01", "asbfly;robin"),
        f"line 2 ({SOUNDSCAPE}): primary_label must list the 5 classes of sample_submission.csv, got 'robin'",
    ),
    "a window's labels with a comma": (swap(LABELS, "asbfly;47158son01", '"asbfly,22930"'), "got 'asbfly,22930'"),
    "a window's labels with a gap": (swap(LABELS, "asbfly;47158son01", "asbfly;;22930"), "primary_label must be names"),
    "a window of no soundscape": (
        add_row(LABELS, "gone.ogg,00:00:00,00:00:05,asbfly"),
        "labels.csv: line 7 (gone.ogg): no such file on disk: looked for train_soundscapes/gone.ogg",
    ),
    "a window of a clip": (
        add_row(LABELS, "train_audio/asbfly/XC1.ogg,00:00:00,00:00:05,asbfly"),
        "(train_audio/asbfly/XC1.ogg): the file must lie in train_soundscapes/, got train_audio/asbfly/XC1.ogg",
    ),
    "an annotated soundscape that is no audio": (
        filled(f"train_soundscapes/{SOUNDSCAPE}", b"OggS"), "labels.csv: line 2 (train_soundscapes/BC2026_Train_0001_S",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_file_row_and_rule(made, tmp_path, name):
    spoil, message = FAULTS[name]
    folder = shutil.copytree(made[2026], tmp_path / "2026")
    spoil(folder)
    with pytest.raises(CompetitionError) as error:
        open_competition(folder)
    line = next((line for line in str(error.value).splitlines() if message in line), None)
    assert line, str(error.value)
    assert len(str(error.value).splitlines()) <= 3  # one line for it, after the count of problems; of a file, each row


def test_a_year_of_all_birds_must_know_the_classes(made, tmp_path):
    folder = shutil.copytree(made[2024], tmp_path / "2024")
    swap("eBird_Taxonomy_v2021.csv", ",asbfly,", ",robin,")(folder)
    with pytest.raises(CompetitionError, match="line 1: each class must be in eBird_Taxonomy_v2021.csv, got 'asbfly'"):
        open_competition(folder)


ODD = {
    # what is done to 2026's folder, which opens all the same
    "columns in another order": lambda folder: (
        pd.read_csv(folder / TRAIN, dtype=str, keep_default_na=False).iloc[:, ::-1].to_csv(folder / TRAIN, index=False)
    ),
    "a byte order mark": lambda folder: (folder / TRAIN).write_bytes(b"\xef\xbb\xbf" + (folder / TRAIN).read_bytes()),
    "line ends of Windows": lambda folder: (folder / TRAIN).write_bytes(
        (folder / TRAIN).read_bytes().replace(b"\n", b"\r\n")
    ),
    "an empty field of secondary labels": swap(TRAIN, '"[]"', ""),
    "secondary labels as numbers": swap(TRAIN, "['22930', 'nobird']", "[22930]"),
    "a window of no label": add_row(LABELS, f"{SOUNDSCAPE},00:00:10,00:00:15,"),
    "times as seconds": swap(LABELS, "00:00:10,00:00:15", "10,15"),
    "hidden files": filled("train_soundscapes/._a.ogg", b"x"),
    "no readme": gone("test_soundscapes/readme.txt"),
    "no labels of windows": gone(LABELS),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_opens(made, tmp_path, name):
    folder = shutil.copytree(made[2026], tmp_path / "2026")
    ODD[name](folder)
    competition = open_competition(folder)
    assert (competition.train["source"] == "clip").sum() == 5 and len(competition.test) == 3


def test_a_window_of_no_label_says_that_nothing_is_there(made, tmp_path):
    folder = shutil.copytree(made[2026], tmp_path / "2026")
    ODD["a window of no label"](folder)
    train = open_competition(folder).train
    assert train["label"].tolist()[-1] == "-*"
