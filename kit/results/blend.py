"""Several models' probabilities as one: tables of test.parquet or oof.parquet, mixed row by row."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kit.results.compare import class_columns, reordered


def average(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of probability tables with the same ids and classes, in the first one's order.

    Other columns (fold, label, group) are the first one's. Raises ValueError naming the table and what differs.
    """
    return _mixed(frames, lambda probability: probability)


def rank_mean(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """As `average`, of each class's rank among its row's classes, scaled to (0, 1].

    Models of different temperature then weigh alike; accuracy and LWLRAP look only at the order within a row.
    """
    return _mixed(frames, lambda probability: rankdata(probability, axis=1) / probability.shape[1])


def _mixed(frames: list[pd.DataFrame], scaled: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    if not frames:
        raise ValueError("frames must hold at least one table, got none")
    first, classes = frames[0], class_columns(frames[0])
    tables = [reordered(table, first, f"frames 0 and {number}") for number, table in enumerate(frames)]
    probability = np.mean([scaled(table[classes].to_numpy(dtype=float)) for table in tables], axis=0)
    mixed = tables[0].copy()
    mixed[classes] = probability
    return mixed
