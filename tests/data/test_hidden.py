"""Rows that a fold must learn nothing from, by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.data.hidden import groups_of, hidden_rows


def test_rows_of_a_held_out_site_or_group_are_hidden():
    """Row 0 is held out; 1 is of its group, 2 of its site, 3 of neither, 4 and 5 of no site, of which 5 is held out."""
    table = {"id": list("abcdef"), "group": list("xxyzvw"), "site": ["s", "t", "s", "t", None, None]}
    store = SimpleNamespace(index=pd.DataFrame(table))
    for by, expected in (("group", [True, False, False, False]), ("site", [True, True, False, False])):
        assert hidden_rows(store, np.array([1, 2, 3, 4]), [0], by).tolist() == expected
    assert hidden_rows(store, np.array([3, 4]), [0, 5], "site").tolist() == [False, True], "as Folds sees them"
    with pytest.raises(ValueError, match=r"folds must be by a column of the store \(id, group, site\), got 'source'"):
        hidden_rows(store, np.array([3]), [0], "source")


def test_a_row_without_a_group_is_one_of_its_own():
    alone = pd.DataFrame({"id": ["f0_5", "f0_10"], "group": [None, None]})
    assert groups_of(SimpleNamespace(index=alone), [0, 1]).tolist() == ["row f0_5", "row f0_10"]
    assert groups_of(SimpleNamespace(index=alone.drop(columns="group")), [1]).tolist() == ["row f0_10"]
