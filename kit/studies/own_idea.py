"""A reader's own idea beside a run that is there: trained on one fold, compared on that fold's rows, told in a line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.competition.competition import Competition
from kit.competition.metrics import METRICS
from kit.experiment import Experiment
from kit.results.compare import difference
from kit.training.crossval import crossval
from kit.training.runs import Run


def try_idea(idea: Experiment, run: Run, competition: Competition, out: Path, *, fold: int = 0, **options: Any) -> str:
    """Trains one fold of the idea, and says how it did on the fold's rows beside the run; options are crossval's.

    The same call again trains nothing; a changed idea under an old name raises ValueError saying what to do.
    """
    (own,) = crossval(idea, competition, out, folds=[fold], **options)
    return beside(own, run)


def beside(own: Run, run: Run) -> str:
    """One line: both scores on the rows that `own` predicted, and their difference with its 95 % interval."""
    rows = run.oof[run.oof["id"].isin(own.oof["id"])].reset_index(drop=True)
    base, metric = replace(run, oof=rows), METRICS[run.metrics["metric"]]
    scores = [metric(one.target, one.probability) for one in (own, base)]
    names = own.experiment["name"], run.experiment["name"]
    return (
        f"{names[0]} {scores[0]:.3f}, {names[1]} {scores[1]:.3f} on the same {len(rows)} rows: "
        f"{difference(own, base, metric)} ({metric.name}, 95 % interval of one comparison, one seed)"
    )
