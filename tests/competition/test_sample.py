import pytest

from kit.competition.listing import CompetitionError, Listing
from kit.competition.sample import read_sample


def sample(folder, text):
    (folder / "sample_submission.csv").write_text(text)
    return read_sample(Listing(folder))


def test_a_column_is_the_label_and_several_are_classes(tmp_path):
    label = sample(tmp_path, "row_id,birds\na,cat\nb,dog\n")
    assert (label.id_column, label.columns, label.classes, label.nothing(())) == ("row_id", ("birds",), None, "")
    several = sample(tmp_path, "id,007,nan\na,0.5,1e-3\n")
    assert several.classes == several.columns == ("007", "nan") and several.nothing(()) == ""


@pytest.mark.parametrize(
    ("words", "nothing"),
    [
        ("nocall nocall", "nocall"),
        ("none", "none"),
        ("nocall aldfly", "nocall"),
        ("nocall nothing aldfly", ""),
        ("none aldfly", ""),
        ("silence silence", ""),
        ("NOCALL", ""),
    ],
)
def test_a_word_for_no_label_is_in_the_column(tmp_path, words, nothing):
    """Of two such words neither is taken, nor is one that is a training label, unless it fills the column."""
    rows = "".join(f"{number},{word}\n" for number, word in enumerate(words.split()))
    assert sample(tmp_path, f"id,label\n{rows}").nothing({"aldfly", "none"}) == nothing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\na\n", "sample_submission.csv: must have two columns, of ids and labels, or a column a class, got id"),
        ("id,a,b\nx,0,1\ny,0,\n", "line 3: b must be a number, as of a class, got ''"),
        ("id,a,b\nx,yes,1\n", "line 2: a must be a number, as of a class, got 'yes'"),
    ],
)
def test_other_samples_are_refused(tmp_path, text, message):
    with pytest.raises(CompetitionError, match=message):
        sample(tmp_path, text)
