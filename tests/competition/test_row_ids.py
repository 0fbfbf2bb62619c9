import pytest

from kit.competition.row_ids import row_id, site_and_hour, split_row_id, whole_windows, window_start


def test_a_row_id_is_split_from_the_right():
    assert split_row_id("soundscape_1446779_5") == ("soundscape_1446779", 5)
    assert split_row_id("BC2026_Test_0001_S05_20250227_010002_60") == ("BC2026_Test_0001_S05_20250227_010002", 60)
    assert split_row_id("1_2") == ("1", 2)


@pytest.mark.parametrize("text", ["", "a", "_5", "a_", "a_0", "a_05", "a_5.0", "a_-5", "a_5s", "a_1e1", "a 5"])
def test_another_text_is_refused(text):
    with pytest.raises(ValueError, match="row_id must be a file's name, _ and the whole second that a window ends on"):
        split_row_id(text)


def test_row_ids_go_both_ways():
    for end in (5, 60, 240, 12):
        assert split_row_id(row_id("test_soundscapes/a_b.c.ogg", float(end))) == ("a_b.c", end)


def test_windows_begin_every_five_seconds():
    assert [window_start(end) for end in (5, 10, 60, 12, 1)] == [0, 5, 55, 10, 0]
    assert whole_windows(15.0) == [(0, 5), (5, 10), (10, 15)] == whole_windows(19.8)
    assert whole_windows(14.95) == whole_windows(15.0) and whole_windows(14.8) == [(0, 5), (5, 10)]
    assert whole_windows(0.3) == [(0, 5)]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("train_soundscapes/BC2026_Train_0001_S05_20250227_010002.ogg", ("S05", 1)),
        ("test_soundscapes/BC2026_Test_0001_S05_20250227_230002.ogg", ("S05", 23)),
        ("H02_20230420_112000.ogg", ("H02", 11)),
        ("H02_20230420_112000Z.ogg", ("H02", 11)),
        ("H02_20230420_992000.ogg", None),
        ("soundscape_1446779.ogg", None),
        ("20230420_112000.ogg", None),
    ],
)
def test_a_name_may_tell_site_and_hour(path, found):
    assert site_and_hour(path) == found
