"""Faults in folders of real contests' shapes, and what is odd in them but no fault."""

import re

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.labels import known_matrix
from kit.competition.listing import CompetitionError
from tests.competition.table_folders import write_noise


def change(file, old, new, count=1):
    """A fault: a part of a table's text changed."""

    def spoil(folder):
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, count), encoding="utf-8")

    return spoil


def add(file, line):
    def spoil(folder):
        with (folder / file).open("a", encoding="utf-8") as table:
            table.write(f"{line}\n")

    return spoil


def write(file, content):
    return lambda folder: (folder / file).write_bytes(content)


def two_of(name, *paths):
    """A file's content in several places, and not where it was."""

    def spoil(folder):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    return spoil


def renamed(old, new):
    """A class of Cornell's by another name, that of its folder too."""

    def spoil(folder):
        (folder / "train_audio" / old).rename(folder / "train_audio" / new)
        change("train.csv", f",{old},", f",{new},", count=9)(folder)

    return spoil


SAMPLE, CURATED, NOISY = "sample_submission.csv", "train_curated.csv", "train_noisy.csv"
ROW = "site_1_aa_10,10,aa"  # of Cornell's test.csv, line 3
LISTS = "train/validation_list.txt"
FAULTS = {
    # contest, what is done to its folder, what the message must say
    "no sample": ("freesound", lambda folder: (folder / SAMPLE).unlink(), "sample_submission.csv: no such file on dis"),
    "a class twice in the sample": (
        "freesound", change(SAMPLE, "Zipper_(clothing)", "Bark"), "line 1: a column is named twice: 'Bark' of fname,",
    ),
    "a class without a name": ("freesound", change(SAMPLE, "Zipper_(clothing)", ""), "writable as a CSV's, got ''"),
    "a class named as a column of the kit": ("freesound", change(SAMPLE, "Zipper_(clothing)", "fold"), "got fold"),
    "text for a probability": (
        "freesound", change(SAMPLE, "000ccb97.wav,0,0", "000ccb97.wav,0,x"),
        "line 2: Bark must be a number, as of a class, got 'x'",
    ),
    "no probability": ("freesound", change(SAMPLE, "000ccb97.wav,0,0", "000ccb97.wav,0,"), "line 2: Bark must be a nu"),
    "a test file twice": (
        "freesound", add(SAMPLE, "000ccb97.wav,0,0,0,0"), "line 5 (000ccb97.wav): the same file as line 2",
    ),
    "a test file twice, once without suffix": (
        "freesound", add(SAMPLE, "000ccb97,0,0,0,0"), "line 5 (000ccb97): the same file as line 2, '000ccb97.wav', spe",
    ),
    "a training file in the sample": (
        "freesound", add(SAMPLE, "train_noisy/000b6cfb.wav,0,0,0,0"), "train_noisy/000b6cfb.wav is also a training fil",
    ),
    "no file column": (
        "freesound", change(CURATED, "fname", "n\nq"), "train_curated.csv: line 2: must have 1 fields, got 2",
    ),
    "a file column of other names": (
        "freesound", write(CURATED, b"name,labels\nx.wav,Bark\ny.wav,Bark\n"),
        "train_curated.csv: has no column 'fname', which sample_submission.csv names, and none that names audio files",
    ),
    "labels of no class": (
        "freesound", write(CURATED, b"fname,labels\n0006ae4e.wav,Wolf\n"),
        "train_curated.csv: has no column of labels: none holds classes of sample_submission.csv, such as 'Acceleratin",
    ),
    "the columns of labels twice": (
        "freesound", change(CURATED, "fname,labels", "labels,labels"), "line 1: a column is named twice: 'labels'",
    ),
    "no name between two commas": (
        "freesound", change(CURATED, "washing),Bark", "washing),,Bark"),
        "line 3 (0019ef41.wav): labels must be names with one ',' between two, got 'Bathtub_(filling_or_washing),,Bark",
    ),
    "a comma at the end": ("freesound", change(CURATED, "),Bark", "),"), "line 3 (0019ef41.wav): labels must be names"),
    "a file that is not there": (
        "freesound", add(NOISY, "gone.wav,Bark"), "train_noisy.csv: line 4 (gone.wav): no such file on disk: looked fo",
    ),
    "a file of both tables": (
        "freesound", add(NOISY, "0006ae4e.wav,Bark"), "line 4 (0006ae4e.wav): the same file as train_curated.csv: line",
    ),
    "a file of the test": (
        "freesound", add(NOISY, "000ccb97.wav,Bark"), "train_noisy.csv: line 4 (000ccb97.wav): no such file on disk",
    ),
    "a file in two folders": (
        "freesound", two_of("train_noisy/000b6cfb.wav", "a/000b6cfb.wav", "b/000b6cfb.wav"),
        "line 3 (000b6cfb.wav): must say which file it is, 'a/000b6cfb.wav' or 'b/000b6cfb.wav', by its folder",
    ),
    "a training file without content": (
        "freesound", write("train_noisy/000b6cfb.wav", b""), "train_noisy.csv: line 3 (000b6cfb.wav): the file is empt",
    ),
    "no test file that can be used": (
        "freesound", lambda folder: [path.write_bytes(b"") for path in (folder / "test").iterdir()],
        "sample_submission.csv: no test file can be used, such as 000ccb97.wav: the file is empty",
    ),
    "a flag of 2": ("columns", change("train.csv", "b.wav,b,0", "b.wav,b,2"), "line 3 (b.wav): nan must be 0 or 1, go"),
    "a flag of a half": ("columns", change("train.csv", "b.wav,b,0", "b.wav,b,.5"), "nan must be 0 or 1, got '.5'"),
    "a flag of NaN": ("columns", change("train.csv", "b.wav,b,0", "b.wav,b,NaN"), "nan must be 0 or 1, got 'NaN'"),
    "no flag": ("columns", change("train.csv", "b.wav,b,0", "b.wav,b,"), "line 3 (b.wav): nan must be 0 or 1, got ''"),
    "a class's column missing": (
        "columns", change("train.csv", "007", "8"),
        "train.csv: has no column '007', a class of sample_submission.csv, though it has those of 2 others",
    ),
    "a class's column twice": ("columns", change("train.csv", "007", "nan"), "line 1: a column is named twice: 'nan'"),
    "no group": ("columns", change("train.csv", "b.wav,b,", "b.wav,,"), "train.csv: line 3 (b.wav): site is empty"),
    "only rows without a class": (
        "columns", write("train.csv", b"clip,nan,007,None\na.wav,0,0,0\nb.wav,0,0,0\n"),
        "no training row has a class of sample_submission.csv, such as 'nan'",
    ),
    "a clip in two folders": (
        "columns", lambda folder: write_noise(folder / "more/a.wav", 0.1),
        "train.csv: line 2 (a.wav): must say which file it is, 'audio/a.wav' or 'more/a.wav', by its folder",
    ),
    "no such row in test.csv": (
        "cornell", change("test.csv", "site_1_aa_10", "site_1_aa_15"),
        "sample_submission.csv: line 3 (site_1_aa_10): test.csv has no such row_id",
    ),
    "a row of test.csv alone": (
        "cornell", add("test.csv", "site_2,site_2_cc_5,5,cc"), "test.csv: line 5 (site_2_cc_5): sample_submission.csv ",
    ),
    "a row of test.csv twice": (
        "cornell", add("test.csv", "site_1," + ROW), "test.csv: line 5: row_id must be there once, got 'site_1_aa_10' ",
    ),
    "a row of the sample twice": ("cornell", add(SAMPLE, "site_1_aa_10,nocall"), "line 5 (site_1_aa_10): the same id "),
    "a stretch twice": (
        "cornell", change("test.csv", ROW, "site_1_aa_10,5,aa"), "(site_1_aa_10): the same stretch as line 2, 'site_1_",
    ),
    "seconds in text": (
        "cornell", change("test.csv", ROW, "site_1_aa_10,ten,aa"),
        "test.csv: line 3: seconds must be a number above 0 or empty, got 'ten'",
    ),
    "seconds below 0": ("cornell", change("test.csv", ROW, "site_1_aa_10,-5,aa"), "a number above 0 or empty, got '-5"),
    "seconds without end": ("cornell", change("test.csv", ROW, "site_1_aa_10,inf,aa"), "above 0 or empty, got 'inf'"),
    "seconds of NaN": ("cornell", change("test.csv", ROW, "site_1_aa_10,nan,aa"), "above 0 or empty, got 'nan'"),
    "seconds between two": (
        "cornell", change("test.csv", ROW, "site_1_aa_10,12,aa"), "must be a multiple of a row's 5 seconds, got 12",
    ),
    "audio that leaves the folder": ("cornell", change("test.csv", ROW, "site_1_aa_10,10,../aa"), "the path leaves th"),
    "labels beside that are no list": (
        "cornell", change("train.csv", "['Empidonax", "[Empidonax"),
        "train.csv: line 5 (XC133080.mp3): secondary_labels must be a list such as ['a', 'b'], got \"[Empidonax",
    ),
    "code for a list": (
        "cornell", change("train.csv", "['Empidonax alnorum_Alder Flycatcher']", "[__import__('os')]"),
        "secondary_labels must be a list such as ['a', 'b'], got \"[__import__('os')]\"",
    ),
    "no label": ("cornell", change("train.csv", ",ameavo,", ",,"), "line 4 (XC99571.mp3): ebird_code is empty"),
    "one label": ("cornell", renamed("ameavo", "nocall"), "train.csv: birds: must have at least two classes"),
    "a label with a space": ("cornell", renamed("ameavo", "ame avo"), "a class's name can hold none, got 'ame avo'"),
    "a clip that no list may name": ("speech_commands", add(LISTS, "../x.wav"), "line 3: must name a clip as WORD/NAM"),
    "a list that is no text": ("speech_commands", write(LISTS, b"\xff\xfe\0"), "line 1: must name a clip as WORD/NAME"),
    "a word without clips of its form": (
        "speech_commands", lambda folder: write_noise(folder / "train/audio/yes/me.wav", 0.1),
        "train/audio/yes/me.wav: must be named WORD/SPEAKER_nohash_N.wav, got 'yes/me.wav'",
    ),
    "noise of no samples": (
        "speech_commands", lambda folder: write_noise(folder / "train/audio/_background_noise_/a.wav", 0.0),
        "train/audio/_background_noise_/a.wav: holds no samples",
    ),
    "a clip of the test twice": (
        "speech_commands", add(SAMPLE, "clip_000044442.wav,silence"), "line 5 (clip_000044442.wav): the same file as l",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(contest, fault):
    name, spoil, message = FAULTS[fault]
    folder = contest(name)
    spoil(folder)
    with pytest.raises(CompetitionError, match=re.escape(message)) as caught:
        open_competition(folder)
    assert str(folder) in str(caught.value)


def test_faults_of_both_parts_are_told_at_once(contest):
    folder = contest("freesound")
    add(NOISY, "gone.wav,Bark")(folder)
    add(SAMPLE, "000ccb97.wav,0,0,0,0")(folder)
    with pytest.raises(
        CompetitionError, match="2 problems\n  train_noisy.csv: line 4 .*\n  sample_submission.csv: line 5"
    ):
        open_competition(folder)


def test_a_test_file_that_can_not_be_used_costs_its_row(contest):
    folder = contest("freesound")
    write("test/0012633b.wav", b"")(folder)
    competition = open_competition(folder)
    assert competition.test["fault"].tolist() == ["", "the file is empty", ""]
    assert (
        "sample_submission.csv: line 3 (0012633b.wav): the file is empty; it will be given the class priors"
        in competition.notes
    )


def test_flags_may_be_written_as_floats_or_truths(contest):
    folder = contest("columns")
    rows = b"clip,nan,007,None\na.wav,1.0,0.0,0\nb.wav,True,False,1\nc.wav,0,0,1\n"
    write("train.csv", rows)(folder)
    competition = open_competition(folder)
    assert known_matrix(competition.train["label"], competition.classes).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 1]]


def test_a_row_of_no_call_has_no_label(contest):
    folder = contest("cornell")
    change("train.csv", ",aldfly,", ",nocall,")(folder)
    folder.joinpath("train_audio/nocall").mkdir()
    folder.joinpath("train_audio/aldfly/XC134874.mp3").rename(folder / "train_audio/nocall/XC134874.mp3")
    competition = open_competition(folder)
    assert competition.classes == ("aldfly", "ameavo")
    assert known_matrix(competition.train["label"], competition.classes)[0].tolist() == [0, 0]


def test_stretches_need_not_be_of_five_seconds(contest):
    folder = contest("cornell")
    change("test.csv", "site_1_aa_5,5,", "site_1_aa_5,2.5,")(folder)
    change("test.csv", "site_1_aa_10,10,", "site_1_aa_10,7.5,")(folder)
    found = open_competition(folder).test[["start_seconds", "end_seconds"]].to_numpy()
    np.testing.assert_allclose(found[:2], [[0, 2.5], [5, 7.5]])


def test_an_odd_order_of_columns_and_files_elsewhere_are_read(contest):
    folder = contest("freesound")
    (folder / "train_noisy").rename(folder / "clips")
    write(NOISY, b'labels,fname,freesound_id\nBark,00097e21,7\n"Bark,Bathtub_(filling_or_washing)",000b6cfb,8\n')(
        folder
    )
    competition = open_competition(folder)
    assert competition.train["path"].tolist()[3:] == ["clips/00097e21.wav", "clips/000b6cfb.wav"]
    assert competition.train["source"].tolist()[3:] == ["noisy", "noisy"]
