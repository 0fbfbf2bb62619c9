"""A round of soft pseudo labels: what finished runs say of a store's unlabelled rows, fold by fold.

Labels for fold k are the mean over the runs of the probabilities that their nets of fold k give, and no other nets:
kit.training.soft_labels tells why. The mean is taken to a power (above 1 it lowers what teachers are unsure of), and
what is then below a floor is 0. Training on a net's own soft labels in rounds: Xie et al. 2020 (arXiv 1911.04252); the
power and the floor: the first and the second of BirdCLEF 2025.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.atomic import replacing
from kit.competition.folds import Folds
from kit.data.hidden import hidden_rows
from kit.data.store import Store
from kit.training.checkpoint import load_model
from kit.training.fit import prepare_accelerator
from kit.training.fold import write_parquet
from kit.training.identity import rebuilt, trained_by
from kit.training.predict import predict, probability_table
from kit.training.pseudo import LeakError
from kit.training.soft_labels import FOLD, held_out_key

UNLABELLED = "unlabelled.parquet"  # of a fold: what its net says of the unlabelled rows


def make_soft_labels(
    runs: Sequence[str | Path],
    store: Store,
    out: str | Path,
    *,
    power: float = 1.0,
    floor: float = 0.1,
    least: float = 0.0,
    trust: bool = False,
) -> Path:
    """The runs' labels of the unlabelled rows as `<out>/<hash>.parquet`, named by what it holds.

    store is packed with them: pack(competition, …, unlabelled=True), by the runs' features.
    A label is (mean probability) ** power, or 0 where that is below `floor`. Rows whose highest label is below `least`
    are left out, and for a fold the rows of every group that it holds out, and of every site or source where folds are
    by these. Each fold keeps its own probabilities, so that runs with other features count too once
    `unlabelled_probability` was called with their store.
    Raises LeakError where the runs' folds differ, ValueError where a fold was trained on other data.
    """
    _check(power, floor, least)
    parts = []
    for key, (folders, held_out, by) in _by_held_out([Path(run) for run in runs]).items():
        rows = _usable(store)
        rows = rows[~hidden_rows(store, rows, _rows_of(held_out, store, folders[0]), by)]
        ids = store.index["id"].to_numpy()[rows]
        said = [unlabelled_probability(folder, store, trust=trust).loc[ids].to_numpy() for folder in folders]
        label = sharpened(np.mean(said, axis=0), power, floor)  # (N, C)
        sure = label.max(1, initial=0) >= least
        parts.append((key, ids[sure], label[sure].astype(np.float32)))
    if not all(len(ids) for _, ids, _ in parts):
        raise ValueError(f"least must leave each fold a row of a group that it does not hold out, got {least}")
    path = Path(out) / f"{_digest(parts)}.parquet"
    _write(path, store.classes, parts)
    return path


def sharpened(probability: np.ndarray, power: float, floor: float) -> np.ndarray:
    """Probabilities to a power, and 0 where that is below the floor."""
    label = probability**power
    return np.where(label >= floor, label, 0.0)


def unlabelled_probability(folder: str | Path, store: Store, *, trust: bool = False) -> pd.DataFrame:
    """What the net of a finished fold says of the store's unlabelled rows: a row an id, a column a class.

    It is kept beside the net, and read from there the next time.
    """
    folder = Path(folder)
    path = folder / UNLABELLED
    if not path.exists():
        if not store.holds(data := trained_by(folder)[-1]["data"]):
            raise ValueError(f"{folder}: was trained on other data (store {data}, not {store.folder.name})")
        model, saved = load_model(folder / "best.pt", trust=trust)
        experiment = rebuilt(saved["experiment"], folder.parent / "sources", trust=trust)
        accelerator, rows = prepare_accelerator(experiment.loop.precision), _usable(store)
        probability = predict(model.to(accelerator.device), store, rows, experiment, accelerator)
        write_parquet(path, probability_table(store, rows, probability.astype(np.float32)))
    table = pd.read_parquet(path).set_index("id")
    if lacks := sorted({*store.index["id"].iloc[_usable(store)]} - {*table.index}):
        raise ValueError(f"{path}: must hold the store's unlabelled rows, lacks {lacks[0]!r}; delete the file")
    return table[list(store.classes)]


def label_report(path: str | Path) -> pd.DataFrame:
    """A row a fold of a file of soft labels: rows, rows with a label, labels a row, and their mean."""
    rows = []
    for number, (_, table) in enumerate(pd.read_parquet(path).groupby(FOLD, sort=False)):
        label = table.drop(columns=["id", FOLD]).to_numpy()
        there = label > 0
        mean = label[there].mean() if there.any() else np.nan
        rows.append(
            {
                "part": number,
                "rows": len(label),
                "labelled": int(there.any(1).sum()),
                "labels a row": there.sum(1).mean(),
                "mean": mean,
            }
        )
    return pd.DataFrame(rows)


def _check(power: float, floor: float, least: float) -> None:
    if not power > 0:
        raise ValueError(f"power must be above 0, got {power}")
    for name, value in (("floor", floor), ("least", least)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")


def _usable(store: Store) -> np.ndarray:
    """The unlabelled rows that have any features. Raises ValueError where there are none."""
    rows = store.rows("unlabelled")
    rows = rows[store.index["frames"].to_numpy()[rows] > 0]
    if not len(rows):
        raise ValueError(
            f"{store.folder}: must hold unlabelled rows for pseudo labels, as pack(competition, …, unlabelled=True) "
            "packs where the competition has any, got none"
        )
    return rows


def _by_held_out(runs: list[Path]) -> dict[str, tuple[list[Path], list[str], str]]:
    """Of each set of held-out rows its folds of all runs, the ids, and the column that the folds are by."""
    parts: dict[str, tuple[list[Path], list[str], str]] = {}
    for run in runs:
        folders = sorted(path.parent for path in run.glob("fold*/metrics.json"))
        if not folders:
            raise ValueError(f"{run}: must be a run with finished folds, got none")
        values = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
        by = values.get("folds", {}).get("by", Folds.by)
        for folder in folders:
            ids = pd.read_parquet(folder / "oof.parquet", columns=["id"])["id"].tolist()
            parts.setdefault(held_out_key(ids, by), ([], ids, by))[0].append(folder)
    if odd := [folders[0] for folders, *_ in parts.values() if len(folders) != len(runs)]:
        raise LeakError(f"{odd[0]}: all runs must hold out the same rows, fold by fold, got others")
    return parts


def _rows_of(ids: list[str], store: Store, folder: Path) -> np.ndarray:
    rows = pd.Series(np.arange(len(store.index)), index=store.index["id"]).reindex(ids)
    if rows.isna().any():
        raise ValueError(f"{folder}: must hold out rows of this store, got {rows.index[rows.isna()][0]!r}")
    return rows.to_numpy(np.int64)


def _digest(parts: list[tuple[str, np.ndarray, np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for key, ids, label in parts:
        digest.update("\n".join([key, *ids]).encode() + label.tobytes())
    return digest.hexdigest()[:12]


def _write(path: Path, classes: Sequence[str], parts: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """A row group a fold, so that a fold reads its own alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("id", pa.string()), (FOLD, pa.string()), *((name, pa.float32()) for name in classes)]
    schema = pa.schema(fields)
    with replacing(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:
        for key, ids, label in parts:
            columns = {"id": ids, FOLD: [key] * len(ids)}
            columns |= {name: label[:, number] for number, name in enumerate(classes)}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(ids))
