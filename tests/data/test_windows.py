import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.data.windows import pool_windows, window_starts


def test_windows_worked_out_by_hand():
    assert window_starts(100, 40, 10).tolist() == [0, 30, 60]  # steps of 30 end exactly at 100
    assert window_starts(101, 40, 10).tolist() == [0, 20, 41, 61]  # one more, and all closer together
    assert window_starts(40, 40, 10).tolist() == window_starts(7, 40, 0).tolist() == [0]


@settings(deadline=None)
@given(size=st.integers(1, 3000), segment=st.integers(1, 600), share=st.floats(0, 0.99))
def test_windows_cover_the_recording_and_share_enough(size, segment, share):
    overlap = int(share * segment)
    starts = window_starts(size, segment, overlap).tolist()
    assert starts[0] == 0 and max(starts) + segment >= size
    assert max(starts) + min(segment, size) <= size
    for before, after in zip(starts, starts[1:], strict=False):
        assert after - before <= max(1, segment - overlap)


def test_the_maximum_and_the_mean_of_the_highest():
    value = np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 9.0], [7.0, 0.0]])
    first = np.array([0, 3])
    assert pool_windows(value, first, "max").tolist() == [[3.0, 9.0], [7.0, 0.0]]
    assert pool_windows(value, first, "top", 2).tolist() == [[2.5, 7.0], [7.0, 0.0]]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"overlap must be in \[0, 40\), got 40"):
        window_starts(100, 40, 40)
    with pytest.raises(ValueError, match="how must be one of max, top, got 'mean'"):
        pool_windows(np.ones((1, 1)), np.array([0]), "mean")
