"""The notebooks' figures, each from a table or a store: one message as title, axes with names and units.

`style` has what all share, `runs` training and scores, `errors` what a run gets wrong, `leaderboard` CV beside the
leaderboard, `sounds` spectrograms and what else is drawn of the data.
"""

from kit.results.figures.errors import calibration, confusion, error_correlation
from kit.results.figures.leaderboard import cv_against_lb, folds_against_lb, shake_up
from kit.results.figures.runs import intervals, learning_curves, score_against_minutes
from kit.results.figures.sounds import (
    RANGE_NATS,
    bin_hz,
    by_split,
    class_balance,
    embedding_map,
    frequency_axis,
    mean_spectra,
    mel_bin,
    spectrograms,
)
from kit.results.figures.style import FELL_COLOR, run_styles, styled

__all__ = [
    "FELL_COLOR", "RANGE_NATS", "bin_hz", "by_split", "calibration", "class_balance", "confusion", "cv_against_lb",
    "embedding_map", "error_correlation", "folds_against_lb", "frequency_axis", "intervals", "learning_curves",
    "mean_spectra", "mel_bin", "run_styles", "score_against_minutes", "shake_up", "spectrograms", "styled",
]  # fmt: skip
