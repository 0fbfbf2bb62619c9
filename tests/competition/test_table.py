"""Folders of real contests' shapes, opened by the one reader of tables."""

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.labels import known_matrix
from kit.competition.listing import CompetitionError, Listing
from kit.competition.table import read_table
from tests.competition.table_folders import TAGS, make_columns, make_cornell, make_freesound, write_noise, write_table

NAN = float("nan")


def known(competition):
    return known_matrix(competition.train["label"], competition.classes).tolist()


def test_freesound_opens_with_its_two_tables(tmp_path):
    competition = open_competition(make_freesound(tmp_path))
    assert (competition.layout, competition.task, competition.metric) == ("table", "multi", "lwlrap")
    assert competition.classes == competition.label_columns == TAGS and competition.id_column == "fname"
    assert competition.train["path"].tolist() == [
        "train_curated/0006ae4e.wav", "train_curated/0019ef41.wav", "train_curated/001ec0ad.wav",
        "train_noisy/00097e21.wav", "train_noisy/000b6cfb.wav",
    ]  # fmt: skip
    assert competition.train["source"].tolist() == ["curated"] * 3 + ["noisy"] * 2
    assert known(competition) == [[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]]
    assert competition.test["path"].tolist() == ["test/000ccb97.wav", "test/0012633b.wav", "test/001ed5f1.wav"]
    assert competition.nothing == "" and competition.cluster is None
    said = "\n".join(competition.notes)
    assert "train_noisy.csv: labels are read from column 'labels', as lists joined by commas" in said
    assert "1 of 4 classes have no training row: 'Zipper_(clothing)'" in said
    assert "metric: lwlrap, for sample_submission.csv takes probabilities and every row has a label to rank" in said


def test_cornell_opens_without_audio_of_the_test(tmp_path):
    competition = open_competition(make_cornell(tmp_path))
    assert (competition.task, competition.metric, competition.nothing) == ("multi", "f1_rows", "nocall")
    assert competition.classes == ("aldfly", "ameavo") and competition.label_columns == ("birds",)
    assert competition.train["id"].tolist() == ["XC134874.mp3", "XC135454.mp3", "XC99571.mp3", "XC133080.mp3"]
    assert competition.train["path"][0] == "train_audio/aldfly/XC134874.mp3"
    assert known(competition) == [[1, 0], [1, -1], [0, 1], [-1, 1]]  # what is heard beside is unknown
    assert competition.cluster == "group" and competition.train["group"].nunique() == 3
    test = competition.test
    assert test["id"].tolist() == ["site_1_aa_5", "site_1_aa_10", "site_3_bb"]
    np.testing.assert_array_equal(test[["start_seconds", "end_seconds"]], [[0, 5], [5, 10], [NAN, NAN]])
    assert test["where"].tolist() == [f"test.csv: line {line}" for line in (2, 3, 4)]
    assert (test["fault"] != "").all()
    assert any(note.startswith("there is no audio of the test, so that all 3 rows") for note in competition.notes)


def test_a_word_for_no_label_in_one_row_of_the_sample_means_lists(tmp_path):
    folder = make_cornell(tmp_path)
    sample = folder / "sample_submission.csv"
    sample.write_text(sample.read_text().replace("nocall", "aldfly", 2))
    competition = open_competition(folder)
    assert (competition.task, competition.form, competition.nothing) == ("multi", "lists", "nocall")
    assert known(competition) == [[1, 0], [1, -1], [0, 1], [-1, 1]]


def test_cornell_with_audio_has_stretches_of_it(tmp_path):
    test = open_competition(make_cornell(tmp_path, audio=True)).test
    assert test["path"].tolist() == ["test_audio/aa.mp3", "test_audio/aa.mp3", "test_audio/bb.mp3"]
    assert test["fault"].tolist() == ["", "", ""]


def test_a_column_a_class_opens_with_names_as_they_stand(tmp_path):
    competition = open_competition(make_columns(tmp_path))
    assert competition.classes == ("nan", "007", "None") and competition.task == "multi"
    assert known(competition) == [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert competition.metric == "roc_auc"  # the third row has no label to rank
    assert competition.train["path"][0] == "audio/a.wav" and competition.cluster == "group"


def test_a_column_a_class_with_one_label_a_row_is_of_one_label(tmp_path):
    make_columns(tmp_path)
    rows = [(f"{name}.wav", *flags) for name, flags in zip("abc", ("100", "010", "001"), strict=True)]
    write_table(tmp_path / "train.csv", ("clip", "nan", "007", "None"), *rows)
    competition = open_competition(tmp_path)
    assert (competition.task, competition.metric) == ("single", "accuracy")
    assert competition.train["label"].tolist() == ["nan", "007", "None"] and len(competition.label_columns) == 3


@pytest.fixture
def lists(tmp_path):
    """Six clips in train/, one in test/, and a function that writes both tables and opens the folder."""
    for name in "abcdef":
        write_noise(tmp_path / f"train/{name}.wav", 0.1)
    write_noise(tmp_path / "test/t.wav", 0.1)

    def opened(labels, sample=(("file", "label"), ("t.wav", "cat")), header=("file", "label"), **options):
        write_table(
            tmp_path / "train.csv", header, *((f"{n}.wav", text) for n, text in zip("abcdef", labels, strict=False))
        )
        write_table(tmp_path / "sample_submission.csv", *sample)
        layout = (lambda listing: read_table(listing, **options)) if options else None
        return open_competition(tmp_path, layout=layout)

    return opened


@pytest.mark.parametrize(
    ("labels", "form"),
    [
        (("cat", "dog", "cat;dog", "owl"), "lists joined by semicolons"),
        (("cat", "dog", "cat, dog", "owl"), "lists joined by commas"),
        (("cat", "dog", "cat dog", "owl"), "lists joined by spaces"),
        (("cat", "dog", "cat|dog", "owl"), "lists joined by |"),
        (("['cat']", "['dog']", "['cat', 'dog']", "['owl']"), "Python lists"),
    ],
)
def test_lists_are_told_from_the_table(lists, labels, form):
    competition = lists(labels)
    assert competition.classes == ("cat", "dog", "owl") and (competition.task, competition.metric) == (
        "multi",
        "f1_rows",
    )
    assert known(competition) == [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert f"train.csv: labels are read from column 'label', as {form}" in competition.notes


def test_names_of_several_words_are_one_label(lists):
    competition = lists(("great tit", "blue tit", "dog", "hot dog"))
    assert competition.task == "single" and competition.classes == ("blue tit", "dog", "great tit", "hot dog")
    competition = lists(("cat", "cat, wild", "dog", "dog"), joined_by="one")
    assert competition.task == "single" and competition.classes == ("cat", "cat, wild", "dog")
    with pytest.raises(ValueError, match="joined_by must be None or one of 'one', 'list', ';', .* got '/'"):
        lists(("cat", "dog"), joined_by="/")


def test_classes_of_the_sample_tell_the_column_and_the_form(lists):
    sample = (("file", "great tit", "owl", "wren"), ("t.wav", 0.5, 0.25, 1e-3))
    competition = lists(("owl great tit", "owl", "owl", "wren"), sample, ("file", "animals"))
    assert competition.task == "single", "'owl great tit' is no class and can't be parted"
    assert competition.train["label"].tolist() == ["owl", "owl", "wren"]
    assert (
        "label 'owl great tit' is no class of sample_submission.csv and is left out: 1 rows, the first "
        in "\n".join(competition.notes)
    )
    competition = lists(("owl;great tit", "owl;lynx", "lynx", "owl"), sample, ("file", "animals"))
    assert competition.task == "multi" and known(competition) == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert competition.metric == "roc_auc"
    notes = "\n".join(competition.notes)
    assert (
        "label 'lynx' is no class of sample_submission.csv and is left out: 2 rows, the first train.csv: line 3"
        in notes
    )
    assert "1 of 3 classes have no training row: 'wren'" in notes


def test_folders_are_labels_where_there_is_no_table(tmp_path):
    for path in ("train/audio/cat/1.wav", "train/audio/dog/1.wav", "extra/dog/2.wav", "test/cat/9.wav", "test/8.wav"):
        write_noise(tmp_path / path, 0.1)
    write_table(tmp_path / "sample_submission.csv", ("file", "animal"), ("8.wav", "cat"), ("9", "cat"))
    competition = open_competition(tmp_path)
    assert competition.train[["id", "label"]].to_numpy().tolist() == [
        ["extra/dog/2.wav", "dog"], ["train/audio/cat/1.wav", "cat"], ["train/audio/dog/1.wav", "dog"],
    ]  # fmt: skip
    assert competition.test["path"].tolist() == ["test/8.wav", "test/cat/9.wav"] and competition.task == "single"
    write_noise(tmp_path / "train/loose.wav", 0.1)
    with pytest.raises(
        CompetitionError, match="train/loose.wav: must lie in a folder named by its label, .* got 'train'"
    ):
        open_competition(tmp_path)


def test_a_folder_of_no_sound_is_not_a_tables(tmp_path):
    write_table(tmp_path / "sample_submission.csv", ("file", "animal"), ("8.png", "cat"))
    assert read_table(Listing(tmp_path)) is None


def test_lists_of_names_with_spaces_can_not_be_written(lists):
    with pytest.raises(CompetitionError, match="label lists labels with spaces between them, .* got 'great tit'"):
        lists(("great tit", "dog", "great tit;dog"))


def test_a_file_in_two_folders_is_told_by_its_row(tmp_path):
    for folder in ("cat", "dog"):
        write_noise(tmp_path / f"clips/{folder}/1.wav", 0.1)
    write_noise(tmp_path / "test/t.wav", 0.1)
    write_table(tmp_path / "sample_submission.csv", ("file", "label"), ("t.wav", "cat"))
    write_table(tmp_path / "train.csv", ("file", "label"), ("dog/1.wav", "dog"), ("cat/1.wav", "cat"))
    assert open_competition(tmp_path).train["path"].tolist() == ["clips/dog/1.wav", "clips/cat/1.wav"]
    write_table(tmp_path / "train.csv", ("file", "label", "n"), ("1.wav", "dog", 1), ("1", "cat", 2))
    assert open_competition(tmp_path).train["path"].tolist() == ["clips/dog/1.wav", "clips/cat/1.wav"]
    write_table(tmp_path / "train.csv", ("file", "label"), ("1.wav", "hund"), ("cat/1.wav", "katze"))
    with pytest.raises(
        CompetitionError, match=r"line 2 \(1.wav\): must say which file it is, 'clips/cat/1.wav' or 'clips/d"
    ):
        open_competition(tmp_path)
