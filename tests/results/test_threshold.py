import numpy as np
import pandas as pd
import pytest

from kit.competition.labels import known_text
from kit.competition.threshold import at_half, best_threshold
from kit.results.threshold import thresholded
from kit.training.runs import Run

TARGET = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
PROBABILITY = np.array([[0.3, 0.1], [0.4, 0.25], [0.2, 0.1], [0.05, 0.6]])


def run(folds):
    names = np.array(["a", "b"])
    oof = pd.DataFrame(PROBABILITY, columns=names).assign(
        id=list("wxyz"), fold=folds, label=[known_text(names[row == 1], rest_absent=True) for row in TARGET]
    )
    return Run("mine-s0", {"name": "mine"}, {"task": "multi", "cluster": None, "seed": 0}, oof)


def test_a_folds_threshold_comes_from_the_others():
    given = run([0, 0, 1, 1])
    moved, threshold = thresholded(given)
    assert threshold == 0.25
    # Of rows z and y alone 0.6 is best, of which 0.3, 0.4 and 0.25 fall short; of rows w and x 0.25.
    np.testing.assert_allclose(
        moved.probability[:2], at_half(PROBABILITY[:2], best_threshold(TARGET[2:], PROBABILITY[2:]))
    )
    np.testing.assert_allclose(
        moved.probability[2:], at_half(PROBABILITY[2:], best_threshold(TARGET[:2], PROBABILITY[:2]))
    )
    assert (given.probability == PROBABILITY).all(), "the run given stays as it was"


def test_one_fold_has_no_others():
    moved, threshold = thresholded(run([0, 0, 0, 0]))
    assert threshold == 0.25 and (moved.probability == PROBABILITY).all()


def test_rows_of_one_label_have_no_threshold():
    one = Run("mine-s0", {}, {"task": "single"}, run([0] * 4).oof.assign(label="a"))
    with pytest.raises(ValueError, match="run mine-s0: its rows must have several labels for a threshold"):
        thresholded(one)
