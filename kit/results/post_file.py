"""Post-processing that travels with a run: `post.json` in its folder, which kit.inference applies to a hidden test.

It holds the parts and the sha256 of the out-of-fold rows that they were chosen on, from which they are fitted again:
oof.parquet goes where the file goes, and a run that was trained anew since is refused.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kit.atomic import replacing
from kit.competition.competition import Competition
from kit.competition.metrics import METRICS, MetricLike, as_metric
from kit.competition.strict_json import parse_json
from kit.part_json import address, from_json, shown, to_json
from kit.parts import walk
from kit.results.compare import as_run, metric_of
from kit.results.ledger import file_sha256
from kit.results.post import out_of_fold, processor
from kit.results.post_blend import RankBlend
from kit.results.threshold import thresholded
from kit.training.runs import Run, load_run

FILE = "post.json"
FIELDS = ("parts", "metric", "threshold", "oof_sha256")


@dataclass(frozen=True)
class Post:
    """Parts fitted on all of a run's out-of-fold rows. threshold: from which labels are listed, None where none are."""

    run: Path
    parts: tuple[Any, ...]
    threshold: float | None
    change: Callable[[pd.DataFrame], pd.DataFrame]  # a table of test predictions

    def __str__(self) -> str:
        parts = ", ".join(map(shown, self.parts)) or "no parts"
        return f"post-processed by {parts}, fitted on the out-of-fold rows of {self.run.name}"


def save_post(
    run: Run | str | Path, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None
) -> Path:
    """Write parts, such as `chosen` gives, as post.json in the run's folder; kit.predict(…, post=True) applies them.

    metric is the run's own by default. Raises ValueError for parts that can't be had where the run is sent, which are
    those that are not the kit's, and RankBlend, which asks other runs for their own test predictions.
    """
    run, parts = as_run(run), tuple(parts)
    if run.folder is None:
        raise ValueError(f"run {run.name}: must have a folder to keep its post-processing, and an average has none")
    for one in walk(parts):
        if isinstance(one, RankBlend):
            raise ValueError(
                "parts must need no other run's test predictions, got RankBlend; kit.predict mixes runs itself"
            )
        if ":" in address(one):
            raise ValueError(f"parts must be the kit's to be sent along, got {address(one)}")
    own = metric_of(run, metric)
    if own.name not in METRICS or as_metric(own.name) != own:
        raise ValueError(f"metric must be one of {', '.join(METRICS)} to be written down, got {own.name}")
    oof = out_of_fold(run, parts, competition, own)
    threshold = thresholded(oof, own)[1] if competition.form == "lists" else None
    values = (to_json(parts), own.name, threshold, file_sha256(run.folder / "oof.parquet"))
    path = run.folder / FILE
    with replacing(path) as beside:
        content = json.dumps(dict(zip(FIELDS, values, strict=True)), indent=1, allow_nan=False)
        beside.write_text(f"{content}\n", encoding="utf-8")
    return path


def read_post(path: str | Path, competition: Competition) -> Post:
    """The post-processing of a run's folder, or of the post.json in one, fitted for a competition's test part.

    The competition must hold the run's training rows. Raises FileNotFoundError, or ValueError naming file and rule.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    parts, name, threshold, sha256 = _read(path)
    run = load_run(path.parent)
    if file_sha256(run.folder / "oof.parquet") != sha256:
        raise ValueError(f"{path}: was made of another oof.parquet than the one beside it; save_post makes it anew")
    if odd := sorted(set(run.classes) - set(competition.classes)):
        raise ValueError(f"{path}: classes must be those of {competition.folder}, got {odd[0]!r}")
    return Post(run.folder, parts, threshold, processor(run, parts, competition, name))  # pyrefly: ignore[bad-argument-type]


def _read(path: Path) -> tuple[tuple[Any, ...], str, float | None, str]:
    try:
        values = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; kit.save_post(run, parts, competition) writes it") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(values, dict) or set(values) != set(FIELDS):
        raise ValueError(f"{path}: must be an object of {', '.join(FIELDS)}")
    listed, name, threshold, sha256 = (values[field] for field in FIELDS)
    if not isinstance(listed, list) or not isinstance(name, str) or name not in METRICS:
        raise ValueError(f"{path}: parts must be a list, and metric one of {', '.join(METRICS)}, got {name!r}")
    if threshold is not None and not (isinstance(threshold, int | float) and 0 < threshold <= 1):
        raise ValueError(f"{path}: threshold must be in (0, 1], got {threshold!r}")
    try:
        parts = from_json(listed, _refused, "parts")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for one in parts:
        if not hasattr(one, "fit"):
            raise ValueError(f"{path}: parts must be of post-processing, got {shown(one)}")
    return parts, name, threshold, sha256


def _refused(module: str, name: str) -> Any:
    raise ValueError(f"part {module}:{name} is not the kit's")
