from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.results.post_rows import rows_of

FILE = "train_soundscapes/BC2026_Train_0001_S05_20250227_010002.ogg"
TRAIN = pd.DataFrame(
    {"id": ["clip", "s_5", "s_10"], "path": ["train_audio/a/XC1.ogg", FILE, FILE], "start_seconds": [np.nan, 0.0, 5.0]}
).assign(end_seconds=[np.nan, 5.0, 10.0])
TEST = pd.DataFrame({"id": ["t_5"], "path": ["test_soundscapes/H02_20230420_112000.ogg"]})
TEST = TEST.assign(start_seconds=0.0, end_seconds=4.0)
COMPETITION = SimpleNamespace(train=TRAIN, test=TEST, folder=Path("bird"))


def test_rows_know_their_file_second_site_and_hour():
    table = pd.DataFrame({"id": ["s_10", "clip", "t_5"], "fold": 0, "label": "", "x": [0.1, 0.2, 0.3], "y": 0.5})
    rows = rows_of(table, COMPETITION)
    assert rows.classes == ("x", "y") and rows.probability.tolist() == [[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]]
    assert rows.file.tolist() == [FILE, "train_audio/a/XC1.ogg", TEST["path"][0]]
    assert rows.second[[0, 2]].tolist() == [5, 0] and rows.windows.tolist() == [True, False, True]
    assert rows.length_seconds[[0, 2]].tolist() == [5, 4] and np.isnan(rows.length_seconds[1])
    assert rows.site.tolist() == ["S05", "", "H02"]
    assert rows.hour[[0, 2]].tolist() == [1, 11] and np.isnan(rows.hour[1])
    some = rows.take(np.array([True, False, True]))
    assert len(some) == 2 and some.site.tolist() == ["S05", "H02"] and some.classes == ("x", "y")
    assert rows.but(some.probability).probability is some.probability and len(rows.probability) == 3


def test_a_table_without_stretches_has_whole_files():
    train, test = (table.drop(columns=["start_seconds", "end_seconds"]) for table in (TRAIN, TEST))
    plain = SimpleNamespace(train=train, test=test, folder=Path("bird"))
    assert not rows_of(pd.DataFrame({"id": ["clip", "s_5"], "x": 0.5}), plain).windows.any()


def test_a_row_of_another_competition_is_refused():
    with pytest.raises(ValueError, match="ids must be those of bird, got 'u'"):
        rows_of(pd.DataFrame({"id": ["clip", "u"], "x": 0.5}), COMPETITION)
