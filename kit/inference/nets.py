"""The nets of finished runs: which folds there are, by what weights, and what each needs to predict again.

Weights are data. Where a `sha256.json` lies in a run's folder or up to three above it (digest by relative path), each
best.pt is held to it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kit.competition.competition import Competition
from kit.competition.labels import label_targets
from kit.experiment import Experiment, changes, told
from kit.training.fold import class_shares, read_so_far
from kit.training.identity import load_experiment, trained_by
from kit.training.runs import Run, class_columns

DIGESTS = "sha256.json"


@dataclass(frozen=True)
class FoldNet:
    """One fold of a finished run. threads: PyTorch's where it was trained on a CPU, None where not, or not known."""

    run: Path
    fold: int
    experiment: Experiment
    sha256: str
    threads: int | None

    @property
    def path(self) -> Path:
        return self.run / f"fold{self.fold}" / "best.pt"

    def __str__(self) -> str:
        return f"{self.run.name} fold {self.fold}"

    @cached_property
    def priors(self) -> dict[str, float]:
        """What the fold's training gave a test row that can't be used, by class.

        Of a run of older versions, which did not write it down, the shares in the oof rows of the other folds.
        """
        facts = _facts(self.path.parent)
        if "priors" in facts:
            return dict(zip(self.classes, facts["priors"], strict=True))
        if not (self.run / "oof.parquet").exists():
            raise FileNotFoundError(f"{self.path.parent}: must tell its priors in metrics.json, or the run have an "
                                    "oof.parquet to count them in, got neither")  # fmt: skip
        oof = pd.read_parquet(self.run / "oof.parquet")
        classes, others = class_columns(oof), oof[oof["fold"] != self.fold]
        target = label_targets(others["label"], classes, self.task)
        return dict(zip(classes, class_shares(target, len(classes)).tolist(), strict=True))

    @cached_property
    def task(self) -> str:
        """What a row has: one label ("single") or several ("multi")."""
        return _json(self.run / "metrics.json").get("task", "single")

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._saved["classes"])

    @property
    def n_mels(self) -> int:
        """Bins of the log-mels that the net takes."""
        return self._saved["n_mels"]

    @cached_property
    def _saved(self) -> dict[str, Any]:
        """What best.pt holds beside the weights. Raises ValueError where it is of another experiment than the run."""
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
            saved = {name: saved[name] for name in ("classes", "n_mels", "experiment")}
        except Exception as error:  # an unpickler that is fed a part may raise anything
            raise ValueError(f"{self.path}: not a whole best.pt ({type(error).__name__})") from error
        if changed := changes(saved["experiment"], self.experiment.to_dict()):
            raise ValueError(f"{self.path}: was trained as another experiment than its run's ({told(changed)})")
        return saved


def fold_nets(run: Run | str | Path, folds: Sequence[int] | None = None, *, trust: bool = False) -> list[FoldNet]:
    """The run's folds that are finished, or stopped at the end of their minutes; or of these those of `folds`.

    Raises FileNotFoundError where the folder is no run's, ValueError where a fold is not finished, one that the run's
    metrics.json lists is gone, or its weights are not those written down.
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    if folder is None:
        raise ValueError(f"run {run.name}: must have a folder to predict, and an average of runs has none")
    folder = folder.resolve()
    for file in ("experiment.json", "metrics.json"):
        if not (folder / file).exists():
            raise FileNotFoundError(f"{folder}: must be the folder of a run with finished folds, has no {file}")
    experiment = load_experiment(folder, trust=trust)
    done = sorted(int(path.name[4:]) for path in folder.glob("fold[0-9]*") if _facts(path))
    if not done:
        raise ValueError(f"{folder}: must have a finished fold, got none")
    if missing := sorted(set(done if folds is None else folds) - set(done)):
        raise ValueError(f"{folder}: fold {missing[0]} is not finished; there are {', '.join(map(str, done))}")
    listed = {int(fold) for fold in _json(folder / "metrics.json").get("folds", {})}
    if folds is None and (gone := sorted(listed - set(done))):
        raise ValueError(f"{folder}: fold {gone[0]} is listed in metrics.json and is not there; to predict without it, "
                         f"name the others by --folds {','.join(map(str, done))}")  # fmt: skip
    digests = _digests(folder)
    return [_fold_net(folder, fold, experiment, digests) for fold in (done if folds is None else dict.fromkeys(folds))]


def fold_notes(nets: Sequence[FoldNet], chosen: bool) -> list[str]:
    """Lines on a run's folds that are unfinished, and, unless they were chosen, on fewer than its experiment has."""
    lines, count = [], nets[0].experiment.folds.n
    if len(nets) < count and not chosen:
        lines.append(f"{nets[0].run}: {len(nets)} of {count} folds were trained, the mean is over those")
    for net in nets:
        if facts := read_so_far(net.path.parent):
            epochs = facts.get("epochs", facts.get("epoch"))
            lines.append(f"{net}: is unfinished, after {epochs} of {net.experiment.loop.epochs} epochs")
    return lines


def check_suits(net: FoldNet, competition: Competition) -> None:
    """Raises ValueError where the run is of another task or features, or shares no class with the competition."""
    several = {"single": "one label a row", "multi": "several labels a row"}
    if net.task != competition.task:
        raise ValueError(f"{net.run}: was trained for {several[net.task]}, and {competition.folder} has "
                         f"{several[competition.task]}")  # fmt: skip
    is_image = bool(getattr(net.experiment.features, "channels", 0))
    if is_image != (competition.features == "image"):
        what = {True: "images", False: "sound"}
        raise ValueError(f"{net.run}: was trained on {what[is_image]}, and {competition.folder} holds "
                         f"{what[not is_image]}")  # fmt: skip
    if not set(net.classes) & set(competition.classes):
        raise ValueError(f"{net.run}: must share a class with {competition.folder}, got {net.classes[0]!r}, … against "
                         f"{competition.classes[0]!r}, …")  # fmt: skip


def _fold_net(folder: Path, fold: int, experiment: Experiment, digests: dict[Path, str]) -> FoldNet:
    path = folder / f"fold{fold}" / "best.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, and fold {fold} can't be predicted without its weights")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if path in digests and digests[path] != sha256:
        raise ValueError(f"{path}: sha256 must be the one in {DIGESTS}, {digests[path][:12]}…, got {sha256[:12]}…")
    last = (trained_by(path.parent) or [{}])[-1]
    threads = last.get("threads") if last.get("gpu") is None else None
    return FoldNet(folder, fold, experiment, sha256, threads)


def _digests(run: Path) -> dict[Path, str]:
    """What the lists of digests in the run's folder and above it say, by path."""
    digests = {}
    for home in (*reversed(run.parents[:3]), run):
        listed = _json(home / DIGESTS) if (home / DIGESTS).exists() else {}
        if odd := [name for name, digest in listed.items() if not isinstance(digest, str)]:
            raise ValueError(f"{home / DIGESTS}: {odd[0]} must have a digest, got {listed[odd[0]]!r}")
        digests |= {home / name: digest for name, digest in listed.items()}
    return digests


def _facts(fold: Path) -> dict[str, Any] | None:
    """What a fold says that is finished, or stopped at the end of its minutes; None of any other."""
    path = fold / "metrics.json"
    return _json(path) if path.exists() else read_so_far(fold)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file that can be read ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must hold a JSON object, got a {type(value).__name__}")
    return value
