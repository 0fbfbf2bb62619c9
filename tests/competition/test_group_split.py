import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from kit.competition.group_split import GroupSplit


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("seed", range(40))
def test_folds_are_scikit_learns_own(seed):
    """Of random classes and groups, two to eleven folds: the same search must come to the same folds."""
    rng = np.random.default_rng(seed)
    n_rows, n_folds = int(rng.integers(60, 200)), int(rng.integers(2, 12))
    labels = np.minimum(rng.geometric(0.2, n_rows), rng.integers(2, 30))
    groups = np.arange(n_rows) if seed % 3 == 0 else rng.integers(0, rng.integers(3 * n_folds, 60), n_rows)

    def held_out(kind):
        return [
            rows.tolist() for _, rows in kind(n_folds, shuffle=True, random_state=seed).split(labels, labels, groups)
        ]

    assert held_out(GroupSplit) == held_out(StratifiedGroupKFold)


def test_it_is_what_scikit_learn_asks(monkeypatch):
    """Else the folds are right, and slow."""
    asked = []
    monkeypatch.setattr(GroupSplit, "_find_best_fold", lambda self, **counts: asked.append(sorted(counts)) or 0)
    list(GroupSplit(2).split(np.zeros(4), np.array([0, 0, 1, 1]), np.arange(4)))
    assert asked == [["group_y_counts", "y_cnt", "y_counts_per_fold"]] * 4
