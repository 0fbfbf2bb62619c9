"""The folder of one experiment with one seed: claimed, its folds counted, its finished folds put together."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.labels import label_targets
from kit.competition.metrics import METRICS, precision
from kit.competition.threshold import best_threshold
from kit.data.store import Store
from kit.experiment import Experiment, changes, told
from kit.sources import collect, hashes, write_sources
from kit.training.fold import fold_of_rows, read_so_far, write_json, write_parquet
from kit.training.identity import kit_sha256, read_files, rebuilt, trained_by
from kit.training.pseudo import LeakError
from kit.training.runs import REST, Run, load_run


class RunFolder:
    """One experiment with one seed: its folder, its folds."""

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        competition: Competition,
        out: Path,
        folds: Sequence[int] | None,
    ):
        self.experiment, self.store, self.competition = experiment, store, competition
        self.folder = out / f"{experiment.name}-s{experiment.seed}"
        n_folds = experiment.folds.n
        self.folds = tuple(folds if folds is not None else range(n_folds))
        if wrong := [fold for fold in self.folds if not 0 <= fold < n_folds]:
            raise ValueError(f"folds must be in 0 to {n_folds - 1}, got {wrong[0]}")
        self.metric = experiment.metric or METRICS[competition.metric]
        self.files = collect(experiment)

    def check(self, fresh: bool) -> None:
        """Raises ValueError where the folder holds another experiment, other data, or folds of other sources.

        Nothing is changed; with `fresh` this run's folds do not count.
        """
        begun = self._begun(without=self.folds if fresh else ())
        if begun and (changed := self._changed()):
            raise ValueError(
                f"{self.folder}: holds a run of another experiment ({told(changed)}); use another name, "
                "or fresh=True for all of its folds"
            )
        self._refuse_other_data(begun)
        self._refuse_stale(begun)
        self._refuse_leaks()

    def rebuilt(self, cache: Path) -> Experiment:
        """The experiment as a worker will build it, from its JSON and from its sources, which are kept in the cache."""
        digest = hashlib.sha256(json.dumps(hashes(self.files), sort_keys=True).encode()).hexdigest()
        folder = cache / "sources" / digest[:16]
        if self.files:
            write_sources(self.files, folder)
        return rebuilt(json.loads(json.dumps(self.experiment.to_dict())), folder, trust=True)

    def claim(self, fresh: bool) -> None:
        """Make the folder this experiment's; `fresh` drops this run's folds first."""
        if fresh:
            self._drop()
        if fresh or self._changed():
            for name in ("metrics.json", "oof.parquet", REST, "test.parquet"):  # of what was here before
                (self.folder / name).unlink(missing_ok=True)
        if self._changed() or self.unfinished() or not (self.folder / "experiment.json").exists():
            write_json(self.folder / "experiment.json", self.experiment.to_dict())  # with the minutes of this time
        if self.files:
            write_sources(self.files, self.folder / "sources")
        else:
            shutil.rmtree(self.folder / "sources", ignore_errors=True)

    def _changed(self) -> dict:
        """What differs from the folder's experiment; nothing where there is none."""
        path = self.folder / "experiment.json"
        if not path.exists():
            return {}
        return changes(json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(self.experiment.to_dict())))

    def _begun(self, without: Sequence[int]) -> list[int]:
        """The folds that the folder holds, those of another number of folds too."""
        numbers = (int(path.name[4:]) for path in self.folder.glob("fold[0-9]*") if trained_by(path))
        return sorted(set(numbers) - set(without))

    def _of(self, fold: int) -> Path:
        return self.folder / f"fold{fold}"

    def _drop(self) -> None:
        """Delete the folds that are to be trained anew."""
        for fold in self.folds:
            (self._of(fold) / "metrics.json").unlink(missing_ok=True)  # first: what a kill leaves is unfinished
            shutil.rmtree(self._of(fold), ignore_errors=True)

    def _refuse_other_data(self, begun: list[int]) -> None:
        for fold in begun:
            data = trained_by(self._of(fold))[-1]["data"]
            if data != self.store.folder.name:
                raise ValueError(
                    f"{self._of(fold)}: was trained on other data (store {data}, now {self.store.folder.name}); "
                    "use another folder for its runs, or fresh=True"
                )

    def _refuse_stale(self, begun: list[int]) -> None:
        now, files = hashes(self.files), read_files(self.experiment) if begun else {}
        for fold in begun:
            last = trained_by(self._of(fold))[-1]
            then, before = last["sources"], last.get("files", {})  # an older kit did not tell of files
            names = sorted(name for name in {**then, **now} if then.get(name) != now.get(name))
            if names := names + [name for name in files if before.get(name, files[name]) != files[name]]:
                raise ValueError(
                    f"{self._of(fold)}: was trained with another {', '.join(names)}; use another name, "
                    "or fresh=True to train it anew"
                )

    def _refuse_leaks(self) -> None:
        """Raises LeakError where a net would start from weights that were trained on rows held out here."""
        starts = self._starts()
        if not any((path.parent.parent / "oof.parquet").exists() for path in starts.values()):
            return
        index, folds = self.store.index.iloc[self.store.rows("train")], fold_of_rows(self.experiment, self.store)
        for fold, path in starts.items():
            tables = [path.parent / "oof.parquet", path.parent.parent / "oof.parquet"]
            if all(table.exists() for table in tables):
                spared, known = (set(pd.read_parquet(table, columns=["id"])["id"]) for table in tables)
                rest = tables[1].with_name(REST)
                known |= set(pd.read_parquet(rest, columns=["id"])["id"]) if rest.exists() else set()
                if seen := (known - spared) & set(index["id"][folds == fold]):
                    raise LeakError(f"start_from: {path} was trained on {len(seen)} rows that fold {fold} holds out")

    def _starts(self) -> dict[int, Path]:
        """The best.pt of another run that each fold which is to be trained starts from."""
        backbone = getattr(getattr(self.experiment.net, "backbone", None), "weights", "")
        of_backbone = {fold: Path(backbone) for fold in self.folds if str(backbone).endswith("best.pt")}
        start = self.experiment.start_from
        return {fold: start.file(fold) for fold in self.unfinished()} if start else of_backbone

    def kept(self) -> str:
        """A line where finished folds were trained by another version of the kit; else empty."""
        done = [fold for fold in self.folds if self._done(fold)]
        others = [fold for fold in done if trained_by(self._of(fold))[-1]["kit_sha256"] != kit_sha256()]
        if not others:
            return ""
        folds = ", ".join(map(str, others))
        return f"{self.folder}: kept fold {folds}, trained by another version of the kit; fresh=True trains anew"

    def _done(self, fold: int) -> bool:
        return (self._of(fold) / "metrics.json").exists()

    def unfinished(self) -> list[int]:
        return [fold for fold in self.folds if not self._done(fold)]

    def stopped(self) -> dict[int, int]:
        """Epochs done of each fold whose minutes were over first."""
        progress = {fold: read_so_far(self._of(fold)) for fold in range(self.experiment.folds.n)}
        return {fold: facts["epochs"] for fold, facts in progress.items() if facts}

    def stopped_told(self) -> str:
        """A line where folds stopped at the end of their minutes; else empty."""
        if not (stopped := self.stopped()):
            return ""
        folds = ", ".join(f"fold {fold} after {done}" for fold, done in stopped.items())
        return (
            f"{self.folder}: unfinished as its minutes were over, {folds} of {self.experiment.loop.epochs} epochs; its "
            "predictions are of the best weights so far, and the same call goes on, here or with the folder elsewhere"
        )

    def epochs_done(self) -> int:
        done = 0
        for fold in self.folds:
            log = self._of(fold) / "log.csv"
            if self._done(fold):
                done += self.experiment.loop.epochs
            elif log.exists():
                done += log.read_bytes().count(b"\n") - 1
        return done

    def finish(self) -> Run:
        """oof.parquet, test.parquet (the mean over folds) and metrics.json of what is finished, and of what stopped.

        Rows that do not count in a score are apart from the others, in oof_rest.parquet.
        """
        stopped = self.stopped()
        folds = [fold for fold in range(self.experiment.folds.n) if self._done(fold) or fold in stopped]
        oof = pd.concat([pd.read_parquet(self._of(fold) / "oof.parquet") for fold in folds])
        if "counts" in oof:
            counts = oof.pop("counts").to_numpy()
            write_parquet(self.folder / REST, oof[~counts].reset_index(drop=True))
            oof = oof[counts]
        tests = [pd.read_parquet(self._of(fold) / "test.parquet") for fold in folds]
        parts = {
            fold: read_so_far(self._of(fold)) or json.loads((self._of(fold) / "metrics.json").read_text())
            for fold in folds
        }
        classes = list(self.store.classes)
        test = tests[0].copy()
        test[classes] = np.mean([table[classes].to_numpy() for table in tests], axis=0)
        target = label_targets(oof["label"], classes, self.store.task)
        probability, scored = oof[classes].to_numpy(), len(oof) > 0
        lists = scored and self.competition.form == "lists"
        write_parquet(self.folder / "oof.parquet", oof.reset_index(drop=True))
        write_parquet(self.folder / "test.parquet", test)
        write_json(
            self.folder / "metrics.json",
            {
                "name": self.experiment.name,
                "seed": self.experiment.seed,
                "metric": self.metric.name,
                "higher_is_better": self.metric.higher_is_better,
                "score": self.metric(target, probability) if scored else None,
                "precision": precision(target, probability) if scored else None,
                "folds": {str(fold): part["score"] for fold, part in parts.items()},
                "epochs": {str(fold): part["epoch"] for fold, part in parts.items()},
                "minutes": sum(part["minutes"] for part in parts.values()),
                "parameters": parts[folds[0]]["parameters"],
                "cluster": self.competition.cluster,
                "task": self.store.task,
                "rows": len(oof),
                **({"threshold": best_threshold(target, probability, self.competition.metric)} if lists else {}),
                **({"unfinished": {str(fold): done for fold, done in stopped.items()}} if stopped else {}),
            },
        )
        return load_run(self.folder, self.metric)
