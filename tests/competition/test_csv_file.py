import pytest

from kit.competition.csv_file import read_csv
from kit.competition.listing import CompetitionError


def test_fields_are_text_by_the_line_that_their_row_starts_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,label\n00000001,NA\n\n"2","two\nlines"\n3,nan\n')
    table = read_csv(path)
    assert table.index.tolist() == [2, 4, 6]
    assert table.to_numpy().tolist() == [["00000001", "NA"], ["2", "two\nlines"], ["3", "nan"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.csv: no such file on disk"),
        ("id,label\n", "must have a header and at least one row"),
        ("id,a,b,a\n1,2,3,4\n", "line 1: a column is named twice: 'a' of id, a, b, a"),
        ("id;a\n1;2\n", "line 1: must have commas between its fields, got ';'"),
        ("id\ta\n1\t2\n", "line 1: must have commas between its fields, got '.t'"),
        ("id,a\n1,2\n3\n", "line 3: must have 2 fields, got 1"),
        ('id,a\n1,"2\n', "line 2: not a UTF-8 CSV"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_text(content)
    with pytest.raises(CompetitionError, match=message):
        read_csv(tmp_path / "a.csv")
