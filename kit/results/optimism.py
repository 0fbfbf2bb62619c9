"""How much does a score gain because the epoch is chosen on the rows that it is scored on?"""

from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.metrics import MetricLike
from kit.results.compare import as_run, metric_of
from kit.training.runs import Run


def epoch_optimism(run: Run | str | Path, metric: MetricLike | None = None) -> float:
    """The mean over folds of how much better a fold's best epoch scores than the epoch that the other folds choose.

    That epoch is the best of their mean score, among those that all folds have, and knows nothing of the fold. 0 where
    all choose the same, never below. Raises ValueError for a run of one fold, which has no others.
    """
    run = as_run(run)
    sign = metric_of(run, metric).sign
    logs = [sign * pd.read_csv(path)["valid_score"].to_numpy() for path in sorted(run.folder.glob("fold*/log.csv"))]
    if len(logs) < 2:
        raise ValueError(f"run {run.name}: must have at least 2 folds, got {len(logs)}")
    scores = np.stack([log[: min(map(len, logs))] for log in logs])  # (folds, epochs)
    others = (scores.sum(0) - scores) / (len(scores) - 1)
    chosen = scores[np.arange(len(scores)), others.argmax(1)]
    return float((scores.max(1) - chosen).mean())
