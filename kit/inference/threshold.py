"""From which probability on a label is named where a submission lists them: chosen on the runs' out-of-fold rows."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.competition.competition import Competition
from kit.competition.metrics import as_metric
from kit.competition.threshold import HALF, best_threshold
from kit.results.blend import MEANS, weighted
from kit.training.runs import load_run


def list_threshold(
    runs: Sequence[Path], competition: Competition, weights: Sequence[float] | None = None, how: str = "mean"
) -> float | None:
    """The threshold in (0, 1] of runs' folders mixed like their predictions; None where no lists are asked for.

    Of one run the one in its metrics.json, of several one chosen on their mixed out-of-fold rows. A warning tells where
    those are not at hand, and what is taken in their place. Raises ValueError naming a metrics.json that is wrong.
    """
    if competition.form != "lists":
        return None
    told = [_told(run) for run in runs]
    if len(runs) == 1 and told[0] is not None:
        return told[0]
    if all((run / "oof.parquet").exists() for run in runs):
        return _chosen(runs, competition, weights, how)
    threshold = HALF if None in told else float(np.average(told, weights=weights))
    what = "their thresholds' mean" if None not in told else "none was chosen for"
    warnings.warn(
        f"{', '.join(run.name for run in runs)}: no oof.parquet to choose a threshold on; labels are named from "
        f"{threshold:.3g} on, {what}", stacklevel=2,
    )  # fmt: skip
    return threshold


def _chosen(runs: Sequence[Path], competition: Competition, weights: Sequence[float] | None, how: str) -> float:
    loaded = [load_run(run) for run in runs]
    frames = [run.oof for run in loaded]
    if weights is not None:
        oof = weighted(frames, np.asarray(weights, dtype=float) / sum(weights))
    else:
        oof = MEANS[how](frames) if len(frames) > 1 else frames[0]
    return best_threshold(loaded[0].target, oof[loaded[0].classes].to_numpy(dtype=float), as_metric(competition.metric))


def _told(run: Path) -> float | None:
    """What metrics.json says, None where nothing, as one of an older version does."""
    path = run / "metrics.json"
    value = json.loads(path.read_text(encoding="utf-8")).get("threshold")
    if value is not None and not (isinstance(value, int | float) and 0 < value <= 1):
        raise ValueError(f"{path}: threshold must be in (0, 1], got {value!r}")
    return value
