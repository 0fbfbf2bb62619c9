"""Experiments × seeds × folds, fanned out by joblib; a run folder for each experiment and seed.

    runs/<name>-s<seed>/  experiment.json, sources/, fold<k>/ (log.csv, best.pt, last.pt, oof.parquet, test.parquet,
                          metrics.json, env.json), and of the finished folds together oof.parquet, test.parquet,
                          metrics.json

On one machine the jobs are processes, one a GPU or one a core. Elsewhere: `joblib.parallel_config("dask", …)`.
"""

import threading
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import joblib
import torch
from joblib.parallel import get_active_backend
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.competition.folds import fold_notes
from kit.competition.metrics import METRICS
from kit.data.store import Store, open_store, pack
from kit.experiment import Experiment
from kit.training.faults import death_told
from kit.training.fold import train_fold
from kit.training.identity import load_experiment
from kit.training.run_folder import RunFolder
from kit.training.runs import Run
from kit.training.soft_labels import SoftLabels
from kit.training.trial import try_experiment
from kit.training.views import mel_axis_notice


def crossval(
    experiments: Experiment | Iterable[Experiment],
    competition: Competition,
    out: str | Path = "runs",
    *,
    seeds: Sequence[int] | None = None,
    folds: Sequence[int] | None = None,
    cache: str | Path = "cache",
    n_jobs: int | None = None,
    threads: int | None = None,
    progress: bool = True,
    fresh: bool = False,
) -> list[Run]:
    """Train every experiment on every fold with every seed (None: the experiment's own); the runs, in order.

    What is finished with the same experiment, data and sources is kept, what was cut short goes on; fresh=True trains
    the folds anew. A fold whose loop.minutes are over before its epochs is unfinished: a warning says so, its
    predictions are of the best weights so far, and the same call goes on. `folds` picks some of
    range(experiment.folds.n). On a CPU `n_jobs` jobs run at once (None: one a core), each with `threads` (None: what is
    left); another number of threads rounds otherwise, and so gives slightly other numbers.
    Raises ValueError where a run folder holds another experiment, other data, or folds trained with other sources, or
    where a part does not fit, which is tried before any training; WorkerDiedError where a job's process dies.
    """
    runs, notes = [], []
    for experiment in [experiments] if isinstance(experiments, Experiment) else experiments:
        features = experiment.features
        notes += fold_notes(competition.train, **experiment.folds.options(competition))
        soft = isinstance(experiment.pseudo, SoftLabels)
        store = pack(competition, cache, getattr(features, "mel", None), features.packs, progress, unlabelled=soft)
        for seed in seeds or (experiment.seed,):
            runs.append(RunFolder(experiment.but(seed=seed), store, competition, Path(out), folds))
    _refuse_twins(runs)
    for run in runs:
        run.check(fresh)
    for run in {run.experiment.but(seed=0): run for run in reversed(runs)}.values():
        if fresh or run.unfinished():
            try_experiment(run.rebuilt(Path(cache)), run.store, competition.metric)
    for run in runs:  # only now is anything changed
        run.claim(fresh)
    if progress:
        notes += [mel_axis_notice(run.experiment.views, run.store) for run in runs] + [run.kept() for run in runs]
        for notice in filter(None, dict.fromkeys(notes)):
            tqdm.write(notice)
    jobs = [(run.folder.resolve(), run.store.folder.resolve(), fold) for run in runs for fold in run.unfinished()]
    workers = n_jobs or _workers(len(jobs))
    threads = threads or max(1, joblib.cpu_count() // (workers or 1))
    with _Bar(runs, progress), death_told():
        joblib.Parallel(workers)(
            joblib.delayed(_job)(*job, competition.metric, number, threads) for number, job in enumerate(jobs)
        )
    done = [run.finish() for run in runs]
    lines = [run.stopped_told() for run in runs] + [_told_faults(run.store, competition) for run in runs]
    for told in dict.fromkeys(lines):
        if told:
            warnings.warn(told, stacklevel=2)
    return done


def _job(run: Path, store: Path, fold: int, metric: str, number: int, threads: int) -> None:
    """A fold, rebuilt from its run folder as in any other place, on the GPU or the threads of its number."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    else:
        torch.set_num_threads(threads)
    experiment = load_experiment(run, trust=True)  # written by this very call
    train_fold(experiment, open_store(store), fold, run, experiment.metric or METRICS[metric])


def _told_faults(store: Store, competition: Competition) -> str:
    faults = store.faults()
    if faults.empty:
        return ""
    where = competition.test.set_index("id")["where"]
    lines = "\n  ".join(f"{where[row.id]} ({row.id}): {row.fault}" for row in faults.itertuples())
    return f"{len(faults)} of {len(store.rows('test'))} test recordings got the class priors\n  {lines}"


def _refuse_twins(runs: list[RunFolder]) -> None:
    seen = set()
    for run in runs:
        if run.folder in seen:
            raise ValueError(f"every experiment must have its own name, got {run.experiment.name!r} twice")
        seen.add(run.folder)


def _workers(n_jobs: int) -> int | None:
    """One job a GPU, or one a core; what the user's joblib.parallel_config says comes first."""
    if get_active_backend()[1] is not None:
        return None
    return max(1, min(n_jobs, torch.cuda.device_count() or joblib.cpu_count()))


class _Bar:
    """A progress bar over the epochs of jobs in other processes, or on other machines, read from their logs."""

    def __init__(self, runs: list[RunFolder], shown: bool):
        self.runs = runs
        total = sum(run.experiment.loop.epochs * len(run.folds) for run in runs)
        self.bar = tqdm(total=total, desc="training", unit="epoch", disable=not shown, mininterval=0.5)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *error) -> None:
        self.over.set()
        self.thread.join()
        self._look()
        self.bar.close()

    def _watch(self) -> None:
        while not self.over.wait(2.0):
            self._look()

    def _look(self) -> None:
        self.bar.n = sum(run.epochs_done() for run in self.runs)
        self.bar.refresh()
