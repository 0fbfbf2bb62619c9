import re
import shutil
import time

import numpy as np
import pytest
import soundfile

from kit.competition.birdclef import BirdCLEF, read_birdclef
from kit.competition.competition import open_competition
from kit.competition.folds import make_folds
from kit.competition.labels import known_matrix
from kit.competition.listing import CompetitionError, Listing
from tests.competition.birdclef_folders import (
    CLASSES,
    CLIPS_2026,
    make_birdclef,
    write_noise,
    write_sample,
    write_taxonomy,
)

NAN = float("nan")
FIRST, SECOND, THIRD = (
    f"train_soundscapes/BC2026_Train_{name}.ogg"
    for name in ("0001_S05_20250227_010002", "0002_S22_20250301_235900", "0003_S22_20250302_120000")
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {year: make_birdclef(tmp_path_factory.mktemp("birdclef") / str(year), year) for year in (2024, 2025, 2026)}


@pytest.fixture
def folder(made, tmp_path):
    """2026's, to be spoilt."""
    return shutil.copytree(made[2026], tmp_path / "2026")


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_a_year_opens_with_its_clips_as_they_are_named(made, year):
    competition = open_competition(made[year])
    assert (competition.layout, competition.task, competition.metric) == ("birdclef", "multi", "roc_auc")
    assert competition.classes == competition.label_columns == CLASSES
    assert (competition.id_column, competition.cluster, competition.boxes) == ("row_id", "group", None)
    clips = competition.train[competition.train["source"] == "clip"]
    assert clips["id"].tolist() == [
        "asbfly/XC134896.ogg", "asbfly/XC1.ogg", "22930/iNat7.ogg", "22930/iNat8.ogg", "1161364/iNat1216197.ogg",
    ]  # fmt: skip
    assert clips["label"].tolist() == ["asbfly -*", "asbfly ?22930 -*", "22930 ?1161364 -*", "22930 -*", "1161364 -*"]
    assert (clips["path"] == "train_audio/" + clips["id"]).all() and (clips["audio"] == clips["path"]).all()
    assert clips["start_seconds"].isna().all() and clips["end_seconds"].isna().all()
    # Two spellings of Ann Lee are one author; an unknown and an empty one are nobody, not one and the same.
    assert clips["group"].tolist() == [
        "ann lee", "ann lee", "train_audio/22930/iNat7.ogg", "train_audio/22930/iNat8.ogg", "bo",
    ]  # fmt: skip


def test_annotated_windows_are_rows_with_their_labels_united(made):
    train = open_competition(made[2026]).train
    windows = train[train["source"] == "soundscape"].reset_index(drop=True)
    stem = "BC2026_Train_0001_S05_20250227_010002"
    assert windows["id"].tolist()[:2] == [f"{stem}_5", f"{stem}_10"]
    assert windows["label"].tolist() == ["1161364 47158son01 asbfly -*", "22930 -*", "asbfly -*"]
    assert windows["path"].tolist() == windows["group"].tolist() == [FIRST, FIRST, SECOND]
    assert windows["start_seconds"].tolist() == [0, 5, 10] and windows["end_seconds"].tolist() == [5, 10, 15]
    assert windows["where"].tolist()[2] == "train_soundscapes_labels.csv: line 6"


def test_windows_without_a_row_are_unlabelled(made):
    unlabelled = open_competition(made[2026]).unlabelled
    found = [(row.path, row.start_seconds, row.end_seconds) for row in unlabelled.itertuples()]
    assert found == [(FIRST, 10, 15), (SECOND, 0, 5), (SECOND, 5, 10), (THIRD, 0, 5), (THIRD, 5, 10), (THIRD, 10, 15)]
    assert unlabelled["id"].tolist()[-1] == "BC2026_Train_0003_S22_20250302_120000_15"
    assert "label" not in unlabelled and (unlabelled["group"] == unlabelled["path"]).all()


def test_each_years_unlabelled_soundscapes_are_cut_into_whole_windows(made):
    found = {year: open_competition(made[year]).unlabelled for year in (2024, 2025)}
    assert found[2024]["id"].tolist() == ["460830_5", "460830_10"]  # of 12 s
    assert found[2025]["id"].tolist() == [f"H02_20230420_112000_{end}" for end in (5, 10, 15)]


@pytest.mark.parametrize(
    ("reader", "second", "third"),
    [
        # asbfly with 22930 beside it, 22930 with 1161364 beside it, in the order of CLASSES
        (BirdCLEF(), [0, -1, 0, 0, 1], [-1, 1, 0, 0, 0]),
        (BirdCLEF(secondary="present"), [0, 1, 0, 0, 1], [1, 1, 0, 0, 0]),
        (BirdCLEF(others="unknown"), [-1, -1, -1, -1, 1], [-1, 1, -1, -1, -1]),
        (BirdCLEF(secondary="present", others="unknown"), [-1, 1, -1, -1, 1], [1, 1, -1, -1, -1]),
    ],
)
def test_what_a_clip_says_is_a_choice(made, reader, second, third):
    train = open_competition(made[2026], layout=reader).train
    known = known_matrix(train["label"], CLASSES)
    assert known[1].tolist() == second and known[2].tolist() == third
    assert known[6].tolist() == [0, 1, 0, 0, 0]  # a window says all of its classes


def test_groups_are_authors_recordings_or_sites(made):
    of = {kind: open_competition(made[2026], BirdCLEF(groups=kind)) for kind in ("author", "recording", "site")}
    assert of["recording"].train["group"].nunique() == 5 + 2 and of["author"].train["group"].nunique() == 4 + 2
    assert of["site"].train["group"].tolist()[5:] == ["site S05", "site S05", "site S22"]
    assert of["site"].train["group"].tolist()[:5] == of["author"].train["group"].tolist()[:5]
    assert set(of["site"].unlabelled["group"]) == {"site S05", "site S22"}
    for reader, by in (("site", "group"), ("author", "site")):
        folds = make_folds(of[reader].train, 2, by=by, classes=CLASSES)
        assert folds[0] == folds[1] and folds[5] == folds[6]


def test_the_reader_refuses_other_choices_and_leaves_other_folders():
    with pytest.raises(ValueError, match="secondary must be one of present, unknown, got 'absent'"):
        BirdCLEF(secondary="absent")
    with pytest.raises(ValueError, match="groups must be one of author, recording, site, got 'species'"):
        BirdCLEF(groups="species")


def test_another_folder_is_left_to_other_readers(tmp_path):
    assert BirdCLEF()(Listing(tmp_path)) is None


def test_what_is_odd_is_told(made):
    assert open_competition(made[2026]).notes[:8] == (
        "folds: clips of one author, and windows of one soundscape, stay together (6 groups of 8 rows)",
        "scores: of all rows, for fewer than 5 files (2) have windows of soundscapes",
        "1 class without a clip, in labelled soundscapes only: 47158son01",
        "1 class without a clip or a labelled window: 25073",
        "1 clip shorter than 1 s: train_audio/22930/iNat8.ogg",
        "1 secondary label of no class here, left out: nobird",
        "train_soundscapes_labels.csv: 2 of 5 rows name a window again, whose labels are united",
        "train_soundscapes_labels.csv: 3 windows of 2 soundscapes have no row, and are taken as unlabelled, not as "
        f"silent: {FIRST}, {SECOND}",
    )


def test_without_audio_all_rows_of_the_sample_are_kept_with_a_fault(folder):
    write_sample(folder, [f"soundscape_{number}_{end}" for number in (1, 2) for end in (5, 10, 15)])
    competition = open_competition(folder)
    assert competition.test["id"].tolist()[3:] == ["soundscape_2_5", "soundscape_2_10", "soundscape_2_15"]
    assert competition.test["fault"].str.startswith("no such file on disk: looked for test_soundscapes/sound").all()
    assert competition.notes[-1].startswith("test_soundscapes/ holds no audio, so that all 6 rows of sample_submission")


def test_rows_are_made_from_the_files_beside_a_sample_of_three_rows(folder):
    write_noise(folder / "test_soundscapes" / "BC2026_Test_0001_S05_20250227_010002.ogg", 15.0)
    write_noise(folder / "test_soundscapes" / "BC2026_Test_0002_S06_20250227_010002.ogg", 14.95)
    test = open_competition(folder).test
    first, second = "BC2026_Test_0001_S05_20250227_010002", "BC2026_Test_0002_S06_20250227_010002"
    assert test["id"].tolist() == [f"{stem}_{end}" for stem in (first, second) for end in (5, 10, 15)]
    assert test["start_seconds"].tolist() == [0, 5, 10] * 2
    assert test["end_seconds"].tolist() == [5, 10, 15, 5, 10, pytest.approx(14.95)]
    assert (test["fault"] == "").all() and test["path"].nunique() == 2


def test_a_sample_that_names_none_of_the_files_shows_the_form_alone(folder):
    """Four rows of a file that is not there, as in the years whose sample is the form of a whole recording."""
    write_noise(folder / "test_soundscapes" / "there.ogg", 10.0)
    write_sample(folder, [f"soundscape_1446779_{end}" for end in (5, 10, 15, 20)])
    competition = open_competition(folder)
    assert competition.test["id"].tolist() == ["there_5", "there_10"] and (competition.test["fault"] == "").all()
    told = "none of its 4 rows names a file of test_soundscapes/, such as soundscape_1446779_5"
    assert f"sample_submission.csv: {told}; the 2 rows are those of its 1 files" in competition.notes


def test_four_minutes_are_48_rows(made, tmp_path):
    """2024's."""
    folder = shutil.copytree(made[2024], tmp_path / "2024")
    soundfile.write(folder / "test_soundscapes" / "soundscape_7.ogg", np.zeros(240 * 8000, dtype=np.float32), 8000)
    assert open_competition(folder).test["id"].tolist() == [f"soundscape_7_{end}" for end in range(5, 245, 5)]


def test_a_full_sample_says_which_rows_and_in_which_order(folder):
    write_noise(folder / "test_soundscapes" / "a_b.ogg", 12.0)
    write_noise(folder / "test_soundscapes" / "extra.ogg", 5.0)
    write_sample(folder, ["a_b_15", "a_b_5", "a_b_20", "gone_5"])
    competition = open_competition(folder)
    test = competition.test.set_index("id")
    assert list(test.index) == ["a_b_15", "a_b_5", "a_b_20", "gone_5"]
    assert test.loc["a_b_15", ["start_seconds", "end_seconds", "fault"]].tolist() == [10, 12, ""]  # a shorter last one
    assert test.loc["a_b_20", "fault"] == "the window must start before its file's end, 12 s, got 15 to 20 s"
    assert test.loc["gone_5", "fault"] == "no such file on disk: looked for test_soundscapes/gone.ogg"
    assert competition.notes[-3:] == (
        "sample_submission.csv: 2 windows of test_soundscapes/ are not asked for, such as a_b_10",
        "sample_submission.csv: line 4 (test_soundscapes/a_b.ogg): the window must start before its file's end, 12 s, "
        "got 15 to 20 s; its row will be given the class priors",
        "sample_submission.csv: line 5 (test_soundscapes/gone.ogg): no such file on disk: looked for "
        "test_soundscapes/gone.ogg; its row will be given the class priors",
    )


def test_a_test_soundscape_that_cannot_be_read_has_as_many_rows_as_others(folder):
    write_noise(folder / "test_soundscapes" / "good.ogg", 10.0)
    (folder / "test_soundscapes" / "bad.ogg").write_bytes(b"OggS and no more")
    competition = open_competition(folder)
    assert competition.test["id"].tolist() == ["bad_5", "bad_10", "good_5", "good_10"]
    assert competition.notes[-1].startswith(
        "test_soundscapes/bad.ogg: 0 to 5 s (test_soundscapes/bad.ogg): not audio that can be read ("
    )
    assert competition.notes[-1].endswith("its 2 rows will be given the class priors")


def test_an_unlabelled_soundscape_that_cannot_be_read_is_left_out(folder):
    (folder / THIRD).write_bytes(b"noise" * 99)
    competition = open_competition(folder)
    assert THIRD not in set(competition.unlabelled["path"])
    assert any(note.startswith(f"1 unlabelled soundscape left out: {THIRD}: not audio") for note in competition.notes)


def test_a_last_window_that_ends_beyond_its_file_ends_with_it(folder):
    write_noise(folder / SECOND, 14.0)
    train = open_competition(folder).train
    assert train["end_seconds"].tolist()[-1] == 14.0


@pytest.mark.parametrize(("window", "told"), [("00:00:05,00:10:00", "5 to 600 s"), ("00:00:09,00:00:15", "9 to 15 s")])
def test_a_longer_window_than_most_that_ends_beyond_its_file_is_refused(folder, window, told):
    """The file is 14 s long, most windows 5 s; the second of these is 6 s."""
    write_noise(folder / THIRD, 14.0)
    labels = folder / "train_soundscapes_labels.csv"
    labels.write_text(labels.read_text() + f"{THIRD.rpartition('/')[2]},{window},asbfly\n")
    rule = f"a window longer than most, 5 s, must end by its file's end, 14 s, got {told}"
    with pytest.raises(CompetitionError, match=re.escape(f"train_soundscapes_labels.csv: line 7 ({THIRD}): {rule}")):
        open_competition(folder)


def test_no_folder_of_the_tests_has_a_class_of_rows_without_files(made):
    for year, path in made.items():
        competition = open_competition(path)
        tables = [competition.train, competition.unlabelled]
        assert all((path / name).is_file() for table in tables for name in table["path"]), year


@pytest.mark.nightly
def test_2026s_35_549_clips_are_read_in_seconds(tmp_path):
    """No clip's header is: each is a hole of 40 kB, which no decoder could read."""
    rng = np.random.default_rng(0)
    classes = sorted(str(number) if number < 47 else f"bird{number}" for number in range(234))
    labels = rng.choice(classes[:206], 35_549)
    rows = [f"{label},[],[],-16,-56,X y,A bird,Aves,1,Author {i % 4017},CC,0.0,https://a.b,{label}/XC{i}.ogg,XC"
            for i, label in enumerate(labels)]  # fmt: skip
    (tmp_path / "train.csv").write_text(CLIPS_2026 + "\n".join(rows) + "\n")
    write_taxonomy(tmp_path, classes)
    write_sample(tmp_path, ["a_5", "a_10", "a_15"], classes)
    for label in set(labels):
        (tmp_path / "train_audio" / label).mkdir(parents=True)
    for i, label in enumerate(labels):
        with open(tmp_path / "train_audio" / label / f"XC{i}.ogg", "wb") as file:
            file.truncate(40_000)
    listing = Listing(tmp_path)
    started = time.process_time()
    fields = read_birdclef(listing)
    assert time.process_time() - started < 6  # 2 s on a quiet machine
    assert len(fields["train"]) == 35_549 and fields["train"]["group"].nunique() == 4017
    assert fields["notes"][1].startswith("28 classes without a clip or a labelled window: ")
