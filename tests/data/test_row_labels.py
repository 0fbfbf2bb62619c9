from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from kit.data.row_labels import RowLabels

NAN = float("nan")
KNOWN = np.array([[1, 0, -1], [-1, -1, -1], [0, 0, 1]], np.int8)  # of index rows 2, 5 and 6
STORE = SimpleNamespace(index=pd.DataFrame(index=range(8)), targets=lambda rows: KNOWN)
ROWS = np.array([2, 5, 6])


def served(labels, row, pseudo=False, epoch=0):
    row = np.array(row)
    return labels.serve(row, np.full(len(row), pseudo), np.zeros(len(row)), np.ones(len(row)), epoch)


def test_a_crop_has_what_is_known_of_its_row():
    target, weight = served(RowLabels(STORE, ROWS), [6, 2, 6, 5])
    wanted = [[0.0, 0.0, 1.0], [1.0, 0.0, NAN], [0.0, 0.0, 1.0], [NAN] * 3]
    torch.testing.assert_close(target, torch.tensor(wanted), equal_nan=True, rtol=0, atol=0)
    assert weight is None


def test_positives_weigh_by_the_epoch():
    labels = RowLabels(STORE, ROWS, lambda epoch: (1 + 2 * 0.5**epoch, 9.0))
    assert served(labels, [2, 5], epoch=0)[1].tolist() == [[3.0] * 3] * 2
    assert served(labels, [2], epoch=1)[1].tolist() == [[2.0] * 3]


def test_rows_here_for_their_pseudo_labels_have_those():
    labels = RowLabels(STORE, ROWS, soft=(np.array([7]), np.array([[0.25, 0.0, 1.0]], np.float32)))
    assert served(labels, [7, 7], pseudo=True)[0].tolist() == [[0.25, 0.0, 1.0]] * 2
