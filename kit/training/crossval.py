"""Experiments × seeds × folds, fanned out by joblib; a run folder for each experiment and seed.

    runs/<name>-s<seed>/  config.json, env.json, fold<k>/ (log.csv, best.pt, last.pt, oof.parquet, test.parquet,
                          metrics.json), and of the finished folds together oof.parquet, test.parquet, metrics.json

On one machine the jobs are processes, one a GPU or one a core. Elsewhere: `joblib.parallel_config("dask", …)`.
"""

import json
import threading
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.parallel import get_active_backend
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.competition.folds import make_folds, make_label_folds
from kit.competition.labels import label_targets
from kit.competition.metrics import METRICS, precision
from kit.data.atomic import replacing
from kit.data.store import Store, open_store, pack
from kit.inference.priors import fill_with_priors
from kit.training.config import Config
from kit.training.environment import environment
from kit.training.faults import death_told
from kit.training.fit import fit
from kit.training.lpc_losses import mel_axis_notice
from kit.training.predict import predict, probability_table


def crossval(
    experiments: Iterable[Config],
    competition: Competition,
    out: str | Path = "runs",
    *,
    seeds: Sequence[int] | None = None,
    folds: Sequence[int] | None = None,
    cache: str | Path = "cache",
    n_jobs: int | None = None,
    threads: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Train every experiment on every fold with every seed (None: the config's own); the run folders, in order.

    What is finished with the same config is kept, what was cut short goes on. `folds` picks some of
    range(config.n_folds). On a CPU `n_jobs` jobs run at once (None: one a core), each with `threads` (None: what is
    left); another number of threads rounds otherwise, and so gives slightly other numbers. Raises ValueError where a
    run folder holds another config or other data, WorkerDiedError where a job's process dies.
    """
    runs = []
    for config in experiments:
        store = pack(competition, cache, config.mel, config.features, progress)
        for seed in seeds or (config.seed,):
            runs.append(_Run(replace(config, seed=seed), store, competition, Path(out), folds))
    _refuse_twins(runs)
    for run in runs:
        run.begin()
    for notice in dict.fromkeys(mel_axis_notice(run.config, run.store) for run in runs):
        if notice and progress:
            tqdm.write(notice)
    jobs = [job for run in runs for job in run.jobs()]
    workers = n_jobs or _workers(len(jobs))
    threads = threads or max(1, joblib.cpu_count() // (workers or 1))
    with _Bar(runs, progress), death_told():
        joblib.Parallel(workers)(joblib.delayed(_train_fold)(*job, number, threads) for number, job in enumerate(jobs))
    for run in runs:
        run.finish()
    for told in dict.fromkeys(_told_faults(run.store, competition) for run in runs):
        if told:
            warnings.warn(told, stacklevel=2)
    return [run.folder for run in runs]


class _Run:
    """One experiment with one seed: its folder, its folds."""

    def __init__(self, config: Config, store: Store, competition: Competition, out: Path, folds: Sequence[int] | None):
        self.config, self.store, self.competition = config, store, competition
        self.folder = out / f"{config.name}-s{config.seed}"
        self.folds = tuple(folds if folds is not None else range(config.n_folds))
        wrong = [fold for fold in self.folds if not 0 <= fold < config.n_folds]
        if wrong:
            raise ValueError(f"folds must be in 0 to {config.n_folds - 1}, got {wrong[0]}")

    def begin(self) -> None:
        """Claim the folder for this config and this data, or raise ValueError."""
        facts = {**self.config.to_dict(), "store": self.store.folder.name}
        path = self.folder / "config.json"
        if path.exists():
            now = json.loads(json.dumps(facts))
            before = {**Config().to_dict(), **json.loads(path.read_text())}  # a field it did not know had its default
            changed = [key for key in now if json.loads(json.dumps(before.get(key))) != now[key]]
            if changed:
                told = ", ".join(f"{key} {before.get(key)!r} -> {now[key]!r}" for key in changed)
                raise ValueError(f"{self.folder}: holds a run of another config ({told}); rename, or delete it")
        _write_json(path, facts)
        _write_json(self.folder / "env.json", environment())

    def jobs(self) -> list[tuple]:
        folder, store = self.folder.resolve(), self.store.folder.resolve()  # a worker may stand in another folder
        return [
            (self.config, store, self.competition.metric, fold, folder / f"fold{fold}")
            for fold in self.folds
            if not (folder / f"fold{fold}/metrics.json").exists()
        ]

    def epochs_done(self) -> int:
        done = 0
        for fold in self.folds:
            folder = self.folder / f"fold{fold}"
            if (folder / "metrics.json").exists():
                done += self.config.epochs
            elif (folder / "log.csv").exists():
                done += (folder / "log.csv").read_bytes().count(b"\n") - 1
        return done

    def finish(self) -> None:
        """oof.parquet, test.parquet (the mean over folds) and metrics.json of the folds that are finished."""
        oof = pd.concat([pd.read_parquet(self.folder / f"fold{fold}/oof.parquet") for fold in self.folds])
        tests = [pd.read_parquet(self.folder / f"fold{fold}/test.parquet") for fold in self.folds]
        parts = {fold: json.loads((self.folder / f"fold{fold}/metrics.json").read_text()) for fold in self.folds}
        classes = list(self.store.classes)
        test = tests[0].copy()
        test[classes] = np.mean([table[classes].to_numpy() for table in tests], axis=0)
        target = label_targets(oof["label"], classes, self.store.task)
        probability = oof[classes].to_numpy()
        _write_parquet(self.folder / "oof.parquet", oof.reset_index(drop=True))
        _write_parquet(self.folder / "test.parquet", test)
        _write_json(
            self.folder / "metrics.json",
            {
                "name": self.config.name,
                "seed": self.config.seed,
                "metric": self.competition.metric,
                "score": METRICS[self.competition.metric](target, probability),
                "precision": precision(target, probability),
                "folds": {str(fold): part["score"] for fold, part in parts.items()},
                "epochs": {str(fold): part["epoch"] for fold, part in parts.items()},
                "minutes": sum(part["minutes"] for part in parts.values()),
                "parameters": parts[self.folds[0]]["parameters"],
                "cluster": self.competition.cluster,
                "task": self.store.task,
                "rows": len(oof),
            },
        )


def _told_faults(store: Store, competition: Competition) -> str:
    faults = store.faults()
    if faults.empty:
        return ""
    where = competition.test.set_index("id")["where"]
    lines = "\n  ".join(f"{where[row.id]} ({row.id}): {row.fault}" for row in faults.itertuples())
    return f"{len(faults)} of {len(store.rows('test'))} test recordings got the class priors\n  {lines}"


def _refuse_twins(runs: list[_Run]) -> None:
    seen = set()
    for run in runs:
        if run.folder in seen:
            raise ValueError(f"every experiment must have its own name, got {run.config.name!r} twice")
        seen.add(run.folder)


def _workers(n_jobs: int) -> int | None:
    """One job a GPU, or one a core; what the user's joblib.parallel_config says comes first."""
    if get_active_backend()[1] is not None:
        return None
    return max(1, min(n_jobs, torch.cuda.device_count() or joblib.cpu_count()))


def _train_fold(config: Config, store_folder, metric, fold, folder: Path, number: int, threads: int) -> None:
    """One fold, start to end: fit, predict its held-out rows and the test rows, write what came out."""
    started = time.monotonic()
    for stray in folder.glob(".*.part"):  # what a kill left of a file that was being written
        stray.unlink(missing_ok=True)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    else:
        torch.set_num_threads(threads)
    store = open_store(store_folder)
    train, test = store.rows("train"), store.rows("test")
    index = store.index.iloc[train]
    if store.task == "multi":
        folds = make_label_folds(index, store.classes, config.n_folds, config.fold_seed)
    else:
        folds = make_folds(index, config.n_folds, config.fold_seed)
    held_out = train[folds == fold]
    fitted = fit(config, store, train[folds != fold], held_out, folder, metric=metric, progress=False)
    oof = predict(fitted.model, store, held_out, config, fitted.accelerator)
    probability = predict(fitted.model, store, test, config, fitted.accelerator)
    if store.task == "multi":
        probability = fill_with_priors(probability, store.targets(train[folds != fold]))
    rows = index[folds == fold]
    facts = {"fold": fold, "label": rows["label"].to_numpy()}
    facts |= {"group": rows["group"].to_numpy()} if "group" in rows else {}
    if not fitted.accelerator.is_main_process:
        return
    _write_parquet(folder / "oof.parquet", probability_table(store, held_out, oof, **facts))
    _write_parquet(folder / "test.parquet", probability_table(store, test, probability))
    parameters = sum(value.numel() for value in fitted.model.parameters())
    minutes = (time.monotonic() - started) / 60
    facts = {"score": fitted.score, "epoch": fitted.epoch, "parameters": parameters, "minutes": minutes}
    _write_json(folder / "metrics.json", facts)  # written last: a fold that has it is finished


def _write_json(path: Path, value: dict) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n")


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as beside:
        table.to_parquet(beside)


class _Bar:
    """A progress bar over the epochs of jobs in other processes, or on other machines, read from their logs."""

    def __init__(self, runs: list[_Run], shown: bool):
        self.runs = runs
        total = sum(run.config.epochs * len(run.folds) for run in runs)
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
