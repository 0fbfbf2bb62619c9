import math

import pytest

from kit.data.features import LogMel
from kit.data.stretches import needed_samples, stretch_units

MEL = LogMel()  # 16 kHz: windows of 400 samples, 160 apart
WHOLE = (math.nan, math.nan)


@pytest.mark.parametrize(
    ("start", "end", "first", "frames"),
    [
        (0.0, 0.025, 0, 1),  # samples 0 to 400: one window
        (0.0, 0.034, 0, 1),  # to 544, short of the next window's 560
        (0.0, 0.035, 0, 2),
        (0.001, 0.035, 1, 1),  # from sample 16, so frame 0 is cut
        (1.0, 2.0, 100, 98),  # 1 + (16000 - 400) // 160
        (0.07, 1.07, 7, 98),  # 0.07 · 16000 is 1120.0000000000002 in floats
        (5.0, 10.0, 500, 498),
        (9.97, 10.05, 997, 1),  # as if it ended at 10 s, where its file does
    ],
)
def test_a_stretch_has_the_frames_that_lie_wholly_inside_of_it(start, end, first, frames):
    assert stretch_units(start, end, 160_000, MEL, "mel") == (first, frames)


def test_frames_follow_the_definition():
    """Frame t is in where start <= t·hop and t·hop + window <= end, for a hop that divides nothing."""
    mel = LogMel(sample_rate_hz=22050, window_seconds=0.0213, hop_seconds=0.0077, fmax_hz=8000)
    for start, end in ((0.0, 3.0), (0.5, 1.37), (1.234, 2.999), (2.9, 3.0)):
        a, b = round(start * 22050), round(end * 22050)
        inside = [t for t in range(1000) if a <= t * mel.hop_samples and t * mel.hop_samples + mel.window_samples <= b]
        assert stretch_units(start, end, 3 * 22050, mel, "mel") == (inside[0], len(inside))


def test_of_waves_it_has_its_samples():
    assert stretch_units(0.07, 1.07, 160_000, MEL, "wave") == (1120, 16_000)
    assert stretch_units(9.0, 10.04, 160_000, MEL, "wave") == (144_000, 16_000)


def test_a_row_without_times_is_its_whole_file():
    assert stretch_units(*WHOLE, 8000, MEL, "mel") == (0, 48)
    assert stretch_units(*WHOLE, 8000, MEL, "wave") == (0, 8000)


@pytest.mark.parametrize("kind", ["mel", "wave"])
@pytest.mark.parametrize(
    ("times", "samples", "message"),
    [
        (WHOLE, 399, "must hold at least one window of 400 samples, got 399"),
        ((55, 60), 16_000 * 59, "the stretch from 55 to 60 s must lie in its file, which ends at 59 s"),
        ((9.0, 10.051), 160_000, "the stretch from 9 to 10.051 s must lie in its file, which ends at 10 s"),
        ((70, 75), 160_000, "the stretch from 70 to 75 s must lie in its file, which ends at 10 s"),
        ((1.0, 1.0249), 160_000, "the stretch from 1 to 1.0249 s must hold a whole frame, 400 samples from a multiple"),
        ((10.0, 10.05), 160_000, "the stretch from 10 to 10.05 s must hold a whole frame"),
    ],
)
def test_a_stretch_that_is_none_is_refused(kind, times, samples, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        stretch_units(*times, samples, MEL, kind)


def test_a_whole_window_that_no_frame_starts_with():
    """Samples 16 to 456: frame 0 begins before, frame 1 ends at 560."""
    message = "must hold a whole frame, 400 samples from a multiple of 160, got 16 to 456$"
    with pytest.raises(ValueError, match=message):
        stretch_units(0.001, 0.0285, 160_000, MEL, "mel")
    assert stretch_units(0.001, 0.0285, 160_000, MEL, "wave") == (16, 440)


def test_of_a_whole_recording_the_first_seconds():
    """2 s: 1 + (32000 - 400) // 160 frames; a stretch lies where it says."""
    mel = LogMel(most_seconds=2.0)
    assert stretch_units(*WHOLE, 160_000, mel, "mel") == (0, 198)
    assert stretch_units(*WHOLE, 160_000, mel, "wave") == (0, 32_000)
    assert stretch_units(*WHOLE, 8000, mel, "mel") == (0, 48)
    assert stretch_units(5, 10, 160_000, mel, "mel") == (500, 498)


def test_how_much_of_a_file_is_needed():
    assert needed_samples(*WHOLE, MEL) == math.inf
    assert needed_samples(*WHOLE, LogMel(most_seconds=2.0)) == 32_000
    assert needed_samples(5, 10, LogMel(most_seconds=2.0)) == 160_000
