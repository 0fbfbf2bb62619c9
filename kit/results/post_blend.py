"""Other runs blended in as a part of post-processing: by the rank of a row within each class."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from kit.competition.metrics import Metric
from kit.parts import part, share
from kit.results.blend import class_rank_mean
from kit.results.post_rows import Rows
from kit.training.runs import Run, load_run


@part
class RankBlend:
    """The ranks within each class blended with those of other runs, of which each has a like share of `weight`.

    runs: their folders. Rows are ranked among those of the table that is changed; see class_rank_mean.
    """

    runs: tuple
    weight: float = 0.5

    def check(self):
        share(self, "weight")
        if not self.runs:
            raise ValueError("runs must name at least one other run's folder, got none")

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Callable[[Rows], np.ndarray]:
        runs = [load_run(folder) for folder in self.runs]
        weights = [1 - self.weight, *[self.weight / len(runs)] * len(runs)]

        def apply(rows: Rows) -> np.ndarray:
            own = pd.DataFrame(rows.probability, columns=list(rows.classes)).assign(id=rows.id)
            frames = [own, *(_said(run, rows) for run in runs)]
            return class_rank_mean(frames, weights)[list(rows.classes)].to_numpy()

        return apply


def _said(run: Run, rows: Rows) -> pd.DataFrame:
    """What a run predicts of rows, out of fold or of the test part. Raises ValueError where it lacks one."""
    parts = [run.oof.set_index("id"), run.test.set_index("id")] if _has_test(run) else [run.oof.set_index("id")]
    table = next((part for part in parts if np.isin(rows.id, part.index).all()), None)
    if table is None:
        lacking = rows.id[~np.isin(rows.id, parts[0].index)][0]
        raise ValueError(f"run {run.name}: must have a prediction of each row to be blended, lacks {lacking!r}")
    return table.loc[rows.id, list(rows.classes)].rename_axis("id").reset_index()


def _has_test(run: Run) -> bool:
    return (run.folder / "test.parquet").exists()
