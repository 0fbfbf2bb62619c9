import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.boxes import BoxCrops, frame_box
from kit.data.features import LogMel

NAN = float("nan")


class Forest:
    """What BoxCrops reads of a store: four classes, row 0 with a true, a false and a long true box, row 5 with one."""

    classes = ("a", "b", "c", "d")
    boxes = pd.DataFrame(
        [(0, 0, True, 100, 120), (0, 1, False, 300, 310), (0, 3, True, 400, 700), (5, 2, False, 0, 30)],
        columns=["row", "number", "true", "start", "end"],
    )


PSEUDO = pd.DataFrame([(0, 2, 500, 510), (9, 0, 40, 60)], columns=["row", "number", "start", "end"])


def known(crops, row, start, length, pseudo=False):
    target, is_true = crops.known(np.array([row]), [pseudo], np.array([start]), np.array([length]))
    return target[0].tolist(), is_true[0].tolist()


def test_what_is_known_of_a_crop_by_hand():
    crops = BoxCrops(Forest())
    cases = {
        (0, 90, 50): [1, 0, NAN, NAN],  # the true box is inside; what is false is false anywhere in the recording
        (0, 110, 50): [1, 0, NAN, NAN],  # half of it is
        (0, 111, 50): [NAN, 0, NAN, NAN],  # less than half: nobody knows
        (0, 450, 50): [NAN, 0, NAN, 1],  # within a long one
        (0, 680, 100): [NAN, 0, NAN, NAN],  # 20 of its frames, a fifth of the crop
        (5, 600, 50): [NAN, NAN, 0, NAN],
        (7, 0, 50): [NAN] * 4,  # a recording without boxes
    }
    for (row, start, length), wanted in cases.items():
        assert known(crops, row, start, length)[0] == pytest.approx(wanted, nan_ok=True)


def test_pseudo_labels_are_known_in_pseudo_items_alone_and_weigh_by_the_epoch():
    crops = BoxCrops(Forest(), PSEUDO, lambda epoch: (2.0, 0.5**epoch))
    assert known(crops, 0, 490, 50)[0] == pytest.approx([NAN, 0, NAN, 1], nan_ok=True)
    target, is_true = known(crops, 0, 490, 50, pseudo=True)
    assert target == pytest.approx([NAN, 0, 1, 1], nan_ok=True)
    assert is_true == [True, True, False, True]
    rows, starts, length = np.array([9, 5]), np.array([30, 0]), np.array([50, 50])
    target, weight = crops.serve(rows, [True, False], starts, length, epoch=2)
    assert target[0].tolist() == pytest.approx([1, NAN, NAN, NAN], nan_ok=True)
    assert weight.tolist() == [[0.25, 2.0, 2.0, 2.0], [2.0] * 4]


def test_crops_contain_their_box_or_lie_in_it_wherever_it_is():
    crops, generator = BoxCrops(Forest(), PSEUDO), torch.Generator().manual_seed(0)
    row, size = np.zeros(400, int), np.full(400, 1000)
    starts = crops.draw_starts(row, [False] * 400, size, 50, generator)
    around = [(70, 100), (260, 300), (400, 650)]  # of the first and last start that keep each box, or lie in it
    inside = [[low <= start <= high for low, high in around] for start in starts.tolist()]
    assert all(any(places) for places in inside)
    counts = np.array(inside).sum(0)
    assert counts[1] == pytest.approx(200, abs=40), "half are around a false box"
    assert counts[0] == pytest.approx(100, abs=40) and counts[2] == pytest.approx(100, abs=40)
    starts = crops.draw_starts(row, [True] * 400, size, 50, generator)
    assert starts.min() >= 460 and starts.max() <= 500 and len(set(starts)) > 30
    assert {known(crops, 0, start, 50, True)[0][2] for start in starts.tolist()} == {1.0}


def test_crops_stay_in_the_recording():
    crops, generator = BoxCrops(Forest()), torch.Generator().manual_seed(0)
    for size in (20, 50, 60, 130):
        rows = np.full(50, 5)
        starts = crops.draw_starts(rows, [False] * 50, np.full(50, size), 50, generator)
        assert starts.min() >= 0 and starts.max() <= max(0, size - 50)


def test_a_box_in_seconds_as_frames_by_their_centres():
    mel = LogMel(window_seconds=0.04, hop_seconds=0.02)  # centres at 0.02, 0.04, 0.06 … s
    start, end = frame_box([0.05, 0.0, 0.061], [0.11, 9.0, 0.065], np.array([100, 30, 30]), mel)
    assert start.tolist() == [2, 0, 3] and end.tolist() == [5, 30, 4]
