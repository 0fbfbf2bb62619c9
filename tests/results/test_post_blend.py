import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from kit.competition.metrics import METRICS
from kit.results.post_blend import RankBlend
from kit.results.post_rows import rows_of

TABLE = pd.DataFrame({"id": list("abcd"), "x": [0.1, 0.2, 0.3, 0.4], "y": [0.9, 0.9, 0.1, 0.2]})
COMPETITION = SimpleNamespace(train=TABLE[["id"]].assign(path="p"), test=pd.DataFrame({"id": ["t", "u"], "path": "q"}),
                              folder=Path("bird"))  # fmt: skip


@pytest.fixture
def other(tmp_path):
    """Ranks a, b, c, d of class x as 4, 3, 2, 1 and of y as 1, 2, 3, 4; rows and classes in another order."""
    oof = pd.DataFrame({"y": [4.0, 3.0, 2.0, 1.0], "x": [0.01, 0.02, 0.03, 0.04], "id": list("dcba")})
    oof.assign(fold=0, label="").to_parquet(tmp_path / "oof.parquet")
    pd.DataFrame({"id": ["u", "t"], "x": [0.5, 0.6], "y": [0.5, 0.5]}).to_parquet(tmp_path / "test.parquet")
    facts = {"seed": 0, "metric": "roc_auc", "folds": {}, "minutes": 1, "parameters": 2, "cluster": None}
    (tmp_path / "metrics.json").write_text(json.dumps(facts))
    (tmp_path / "experiment.json").write_text(json.dumps({"name": "other"}))
    return str(tmp_path)


def applied(part, table):
    rows = rows_of(table, COMPETITION)
    return part.fit(rows, None, METRICS["roc_auc"])(rows)


def test_ranks_within_a_class_by_hand(other):
    """Class x is ranked 1 2 3 4 and 4 3 2 1; y, ties at their mean, 3.5 3.5 1 2 and 1 2 3 4: over 4 rows."""
    half = applied(RankBlend((other,)), TABLE)
    assert half[:, 0] == pytest.approx([2.5 / 4] * 4)
    assert half[:, 1] == pytest.approx([2.25 / 4, 2.75 / 4, 2 / 4, 3 / 4])
    own = applied(RankBlend((other,), weight=0.0), TABLE)
    assert own[:, 0] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    three = applied(RankBlend((other, other), weight=0.8), TABLE)
    assert three[:, 0] == pytest.approx([(0.2 * n + 0.8 * (5 - n)) / 4 for n in (1, 2, 3, 4)])


def test_test_rows_are_blended_with_test_rows(other):
    found = applied(RankBlend((other,), weight=1.0), pd.DataFrame({"id": ["t", "u"], "x": [0.1, 0.2], "y": 0.5}))
    assert found.tolist() == [[1.0, 0.75], [0.5, 0.75]]


def test_bad_blends_are_refused(other):
    with pytest.raises(ValueError, match="runs must name at least one other run's folder, got none"):
        RankBlend(())
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\], got 2"):
        RankBlend((other,), weight=2.0)
    COMPETITION.train.loc[4] = ["e", "p"]
    with pytest.raises(ValueError, match="must have a prediction of each row to be blended, lacks 'e'"):
        applied(RankBlend((other,)), pd.DataFrame({"id": ["a", "e"], "x": 0.5, "y": 0.5}))
