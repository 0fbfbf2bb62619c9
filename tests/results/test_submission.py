"""Submissions written and scored, on a tiny folder of HW4's layout with four test utterances."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import Competition, open_competition
from kit.competition.listing import CompetitionError
from kit.results.submission import SubmissionError, check_submission, score_submission, write_submission

SPEAKERS = ("00000001", "NA", "c,d")
IDS = ["t-2.pt", "t-1.pt", "t-3.pt", "t-4.pt"]
PROBABILITY = pd.DataFrame(
    [("t-1.pt", 0.1, 0.7, 0.2), ("t-4.pt", 0.4, 0.3, 0.3), ("t-2.pt", 0.2, 0.3, 0.5), ("t-3.pt", 0.9, 0.1, 0.0)],
    columns=["id", *SPEAKERS],
)
WRITTEN = 'Id,Category\nt-2.pt,"c,d"\nt-1.pt,NA\nt-3.pt,00000001\nt-4.pt,00000001\n'


@pytest.fixture
def hw4(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    speakers = {name: [{"feature_path": f"train-{n}.pt", "mel_len": 9}] for n, name in enumerate(SPEAKERS)}
    files = {
        "metadata.json": {"n_mels": 40, "speakers": speakers},
        "mapping.json": {"speaker2id": {name: number for number, name in enumerate(SPEAKERS)}},
        "testdata.json": {"n_mels": 40, "utterances": [{"feature_path": name, "mel_len": 9} for name in IDS]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    for name in [*IDS, *(f"train-{number}.pt" for number in range(3))]:
        (folder / name).write_bytes(b"x")
    return open_competition(folder)


def multi(competition):
    return replace(competition, task="multi", metric="lwlrap", label_columns=("s0", "s1", "s2"))


def solve(competition, rows, header="Id,Category,Usage"):
    (competition.folder / "solution.csv").write_text("\n".join([header, *rows]) + "\n")


def test_the_likeliest_class_is_written_in_the_order_of_the_test_table(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "new" / "first.csv")
    assert path.read_bytes().decode() == WRITTEN
    assert list(path.parent.iterdir()) == [path]  # nothing is left beside it
    table = check_submission(path, hw4)
    assert table["Category"].tolist() == ["c,d", "NA", "00000001", "00000001"]


def test_the_samples_order_comes_before_the_test_tables(hw4, tmp_path):
    sample = ["Id,Category", "t-4.pt,NA", "t-3.pt,NA", "t-2.pt,NA", "t-1.pt,NA"]
    (hw4.folder / "sample_submission.csv").write_text("\n".join(sample))
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    assert [line[:6] for line in path.read_text().splitlines()[1:]] == ["t-4.pt", "t-3.pt", "t-2.pt", "t-1.pt"]


def test_probabilities_are_written_so_that_a_float32_comes_back_exactly(hw4, tmp_path):
    table = PROBABILITY.copy()
    table[list(SPEAKERS)] = np.random.default_rng(0).random((4, 3)).astype(np.float32) ** 9
    path = write_submission(multi(hw4), table, tmp_path / "x.csv")
    written = pd.read_csv(path).set_index("Id")
    assert list(written.columns) == ["s0", "s1", "s2"] and list(written.index) == IDS
    expected = table.set_index("id").loc[IDS].to_numpy(np.float32)
    assert (written.to_numpy().astype(np.float32) == expected).all()


def test_a_submission_that_fails_the_check_replaces_nothing(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    other = replace(hw4, test=hw4.test.assign(id=["t-1.pt", "t-2.pt", "t-3.pt", ""]))
    with pytest.raises(SubmissionError, match=r"x.csv, row 5, column Id: must not be empty, got ''"):
        write_submission(other, PROBABILITY.replace("t-4.pt", ""), path)
    assert path.read_text() == WRITTEN and list(tmp_path.glob("*.part")) == []


def test_one_answer_for_all_is_written_with_a_warning(hw4, tmp_path):
    constant = PROBABILITY.assign(**{"NA": 1.0})
    write_submission(hw4, constant, tmp_path / "x.csv")  # 4 rows of 3 classes: 3 · (1/3)^4 = 0.04
    many = pd.DataFrame({"id": [f"t{row}" for row in range(20)]})
    large = replace(hw4, test=many)
    table = many.assign(**{name: float(name == "NA") for name in hw4.classes})
    with pytest.warns(UserWarning, match=r"y.csv, column Category: says 'NA' in every row, and would be refused when"):
        path = write_submission(large, table, tmp_path / "y.csv")
    with pytest.raises(SubmissionError, match="column Category: must not say the same in every row, got 'NA'"):
        check_submission(path, large)


def test_the_table_of_probabilities_stays_as_it_was(hw4, tmp_path):
    kept = PROBABILITY.copy()
    write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    pd.testing.assert_frame_equal(PROBABILITY, kept)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (PROBABILITY.drop(columns="NA"), "columns id and every class, got 'NA' missing or extra"),
        (PROBABILITY.assign(fold=0), "columns id and every class, got 'fold' missing or extra"),
        (PROBABILITY.iloc[1:], "must hold each of 4 test ids once, got 3 rows, 't-1.pt' missing"),
        (PROBABILITY.iloc[[0, 0, 1, 2, 3]], "must hold each of 4 test ids once, got 5 rows, 't-1.pt' too many"),
        (PROBABILITY.replace("t-1.pt", 7), "must hold each of 4 test ids once, got 4 rows, 't-1.pt' missing"),
        (PROBABILITY.replace(0.7, np.nan), r"must be in \[0, 1\], got nan for id t-1.pt, class NA"),
        (PROBABILITY.replace(0.7, 1.5), r"must be in \[0, 1\], got 1.5 for id t-1.pt, class NA"),
        (PROBABILITY.replace(0.7, -2.0), r"must be in \[0, 1\], got -2.0 for id t-1.pt, class NA"),
    ],
)
def test_a_wrong_table_is_refused(table, message, hw4, tmp_path):
    with pytest.raises(ValueError, match=f"test_probability {'must have ' * ('columns' in message)}{message}"):
        write_submission(hw4, table, tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_the_score_by_hand(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    rows = ["t-1.pt,NA,Public", "t-2.pt,NA,Public", "t-3.pt,00000001,Public", 't-4.pt,"c,d",Private']
    solve(hw4, rows)
    score = score_submission(path, hw4)
    assert score == {"public": pytest.approx(2 / 3), "public_rows": 3, "private": 0.0, "private_rows": 1}


def test_a_part_without_rows_has_no_score(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    solve(hw4, [f"{name},NA,Public" for name in IDS])
    score = score_submission(path, hw4)
    assert score["public"] == 0.25 and np.isnan(score["private"]) and score["private_rows"] == 0


def test_several_labels_are_scored_by_their_ranks(hw4, tmp_path):
    @dataclass(frozen=True)
    class WithTags(Competition):
        def solution(self):
            truth = {"t-1.pt": (0, 1, 0), "t-2.pt": (1, 0, 0), "t-3.pt": (1, 1, 0), "t-4.pt": (0, 0, 1)}
            table = pd.DataFrame(list(truth.values()), columns=["s0", "s1", "s2"])
            return table.assign(id=list(truth), usage=["Public", "Public", "Private", "Private"])

    competition = WithTags(**vars(multi(hw4)))
    path = write_submission(competition, PROBABILITY, tmp_path / "x.csv")
    score = score_submission(path, competition)
    assert score["public"] == pytest.approx((1 + 1 / 3) / 2)  # at rank 1; at rank 3
    assert score["private"] == pytest.approx((1 + 1 + 1 / 3) / 3)  # both at ranks 1 and 2; tied last, at rank 3


def test_there_is_no_score_without_a_solution(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    with pytest.raises(
        FileNotFoundError, match=r"data/solution.csv must exist to score a submission, got no such file"
    ):
        score_submission(path, hw4)


def test_a_solution_of_other_ids_or_labels_is_named(hw4, tmp_path):
    path = write_submission(hw4, PROBABILITY, tmp_path / "x.csv")
    solve(hw4, [f"{name},NA,Public" for name in IDS[:3]])
    with pytest.raises(
        CompetitionError, match=r"solution.csv: must hold each of 4 test ids once, got 3 rows, 't-4.pt'"
    ):
        score_submission(path, hw4)
    solve(hw4, [f"{name},zoe,Public" for name in IDS])
    with pytest.raises(CompetitionError, match="solution.csv: label must be one of the classes, got 'zoe'"):
        score_submission(path, hw4)


def test_a_file_that_should_not_be_sent_is_not_scored(hw4, tmp_path):
    solve(hw4, [f"{name},NA,Public" for name in IDS])
    (tmp_path / "x.csv").write_text(WRITTEN.replace("NA", "NB"))
    with pytest.raises(SubmissionError, match="row 3, column Category: must be one of the classes, got 'NB'"):
        score_submission(tmp_path / "x.csv", hw4)


def lists(competition, nothing="nocall"):
    """The same rows as a contest that takes lists of names."""
    return replace(competition, task="multi", metric="f1_rows", nothing=nothing, classes=("a", "b", "c"))


NAMED = PROBABILITY.set_axis(["id", "a", "b", "c"], axis=1)


@pytest.mark.parametrize(
    ("threshold", "rows"),
    [
        # by t-2 (0.2, 0.3, 0.5), t-1 (0.1, 0.7, 0.2), t-3 (0.9, 0.1, 0), t-4 (0.4, 0.3, 0.3)
        (None, ["t-2.pt,c", "t-1.pt,b", "t-3.pt,a", "t-4.pt,nocall"]),
        (0.3, ["t-2.pt,b c", "t-1.pt,b", "t-3.pt,a", "t-4.pt,a b c"]),
        (1.0, ["t-2.pt,nocall", "t-1.pt,nocall", "t-3.pt,nocall", "t-4.pt,nocall"]),
    ],
)
def test_lists_hold_the_names_from_the_threshold_on(threshold, rows, hw4, tmp_path):
    path = write_submission(lists(hw4), NAMED, tmp_path / "x.csv", threshold)
    assert path.read_text().splitlines()[1:] == rows


def test_an_empty_list_is_an_empty_field_where_no_word_stands_for_it(hw4, tmp_path):
    path = write_submission(lists(hw4, nothing=""), NAMED, tmp_path / "x.csv")
    assert path.read_text().splitlines()[4] == "t-4.pt,"


def test_a_threshold_is_for_lists(hw4, tmp_path):
    for competition, threshold in ((hw4, 0.5), (lists(hw4), 0.0), (lists(hw4), 1.5)):
        with pytest.raises(
            ValueError, match=r"threshold must be in \(0, 1\], or None where lists are not what is sent, got"
        ):
            write_submission(competition, PROBABILITY, tmp_path / "x.csv", threshold)


def test_lists_are_scored_by_the_f1_of_rows(hw4, tmp_path):
    competition = lists(hw4)
    path = write_submission(competition, NAMED, tmp_path / "x.csv", 0.3)
    solve(competition, ["t-1.pt,b,Public", "t-2.pt,a b,Public", "t-3.pt,nocall,Public", "t-4.pt,a c,Private"])
    score = score_submission(path, competition)
    assert score["public"] == pytest.approx((1 + 2 / 4 + 0) / 3)  # b; b c of a b; a of none
    assert score["private"] == pytest.approx(2 * 2 / 5)  # a b c of a c
    solve(competition, [f"t-{number}.pt,a nocall,Public" for number in range(1, 5)])
    with pytest.raises(CompetitionError, match="solution.csv: label must be one of the classes, got 'a nocall'"):
        score_submission(path, competition)


def test_probabilities_of_rows_with_one_label_are_scored_as_such(hw4, tmp_path):
    competition = replace(hw4, label_columns=hw4.classes)
    path = write_submission(competition, PROBABILITY, tmp_path / "x.csv")
    assert path.read_text().splitlines()[:2] == ['Id,00000001,NA,"c,d"', "t-2.pt,0.2,0.3,0.5"]
    header = 'Id,00000001,NA,"c,d",Usage'
    solve(competition, [f"t-{number}.pt,0,1,0,Public" for number in range(1, 5)], header)
    assert score_submission(path, competition)["public"] == 0.25
    losses = score_submission(path, replace(competition, metric="log_loss"))["public"]
    assert losses == pytest.approx(-np.log([0.7, 0.3, 0.1, 0.3]).mean())
    solve(competition, [f"t-{number}.pt,0,1,1,Public" for number in range(1, 5)], header)
    with pytest.raises(CompetitionError, match="solution.csv: a row must have one class, got one with 2"):
        score_submission(path, competition)


def test_rows_that_can_not_be_used_do_not_make_a_file_dead(hw4, tmp_path):
    many = pd.DataFrame({"id": [f"t{row}" for row in range(20)], "fault": "no such file on disk"})
    table = many[["id"]].assign(**dict.fromkeys(hw4.classes, 1 / 3))
    for competition in (replace(hw4, test=many), replace(multi(hw4), test=many)):
        check_submission(write_submission(competition, table, tmp_path / "x.csv"), competition)
    usable = replace(multi(hw4), test=many.assign(fault=""))
    with pytest.raises(SubmissionError, match="column s0: must not say the same in every row"):
        check_submission(tmp_path / "x.csv", usable)
    table = table.set_axis(["id", "a", "b", "c"], axis=1)
    with pytest.warns(UserWarning, match="column Category: says 'nocall' in every row"):
        write_submission(replace(lists(hw4), test=many.assign(fault="")), table, tmp_path / "y.csv")
