import math

import numpy as np
import pytest
import torch

from kit.inference.onnx_check import Difference, difference

X = torch.zeros(2, 3, 4)


def compared(ours, theirs, task="single", n_base=0):
    return difference(
        lambda x, mask: np.float32(ours), lambda x, mask: torch.tensor(theirs), [(X, None)], ("a", "b"), task, n_base
    )


def test_differences_by_hand():
    """sigmoid(0) = 0.5; of logits up to 20, a difference of 0.02 is a thousandth of the largest."""
    found = compared([[0.0, 20.02], [1.0, 1.0]], [[0.0, 20.0], [1.0, 1.0]], "multi")
    assert found.logits == (pytest.approx(0.001, rel=1e-3), "b") and found.rows == 2
    assert found.probability[0] < 1e-8 and found.within(0.0011) and not found.within(0.0009)
    found = compared([[0.0, 0.0]], [[0.1, 0.0]], "multi")
    assert found.logits == (pytest.approx(0.1), "a")  # no more than itself where logits are small
    assert found.probability == (pytest.approx(1 / (1 + math.exp(-0.1)) - 0.5), "a")


def test_a_mean_of_folds_has_probabilities_alone():
    found = compared([[0.5, 0.25]], [[0.5, 0.5]], "")
    assert found == Difference((0.25, "b"), None, 1)
    assert str(found) == "largest difference from PyTorch on 1 rows: 2.5e-01 of probabilities (class b)"


def test_not_a_number_is_never_within():
    assert not compared([[float("nan"), 0.0]], [[0.0, 0.0]]).within(1e9)
    assert not compared([[0.0, 0.0]], [[0.0, float("inf")]]).within(1e9)


def test_classes_out_of_the_session_count_with_their_logits_alone():
    found = compared([[1.0, 5.0]], [[1.0, 4.0]], "single", n_base=1)
    assert found.probability[0] == 0 and found.logits == (0.25, "b")
