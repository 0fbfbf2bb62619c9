"""Finished folds' predictions, kept in the cache by all that could change a bit of them, for a call after a kill."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kit.inference.serving import FoldServing
from kit.part_json import to_json
from kit.results.ledger import file_sha256
from kit.training.fold import write_parquet
from kit.training.identity import kit_sha256


def kept_path(serving: FoldServing, threads: int, cache: Path) -> Path:
    """Where a fold's predictions are, or would be."""
    facts = {
        "weights": serving.net.sha256,
        "store": serving.store.folder.name,
        "way": to_json(serving.experiment.predict),
        "engine": serving.engine if serving.engine == "torch" else _exported(serving.exported),
        "threads": threads,
        "device": str(serving.accelerator.device),
        "kit": kit_sha256(),
        "torch": torch.__version__,
    }
    return cache / "predictions" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.parquet"


def _exported(path: Path) -> list[str]:
    """The digests of an exported net's files. Raises FileNotFoundError where they have not been written."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; python -m kit export writes it")
    return [file_sha256(part) for part in (path, path.with_suffix(".bin")) if part.exists()]


def read_kept(path: Path, serving: FoldServing) -> np.ndarray | None:
    """The predictions (N, C) that lie there, None where there are none that can be read."""
    if not path.exists():
        return None
    with suppress(OSError, ValueError, KeyError):  # a file that is none is made again
        table = pd.read_parquet(path)
        if table["id"].tolist() == serving.store.index["id"].iloc[serving.rows].tolist():
            return table[list(serving.net.classes)].to_numpy()
    return None


def keep(path: Path, serving: FoldServing, probability: np.ndarray) -> None:
    """Where the disk is full nothing is kept, and the predictions are none the worse."""
    ids = pd.DataFrame({"id": serving.store.index["id"].to_numpy()[serving.rows]})
    with suppress(OSError):
        write_parquet(path, pd.concat([ids, pd.DataFrame(probability, columns=list(serving.net.classes))], axis=1))
