"""A demo's folder: complete or absent, with the facts of its making, and what its tables are written with."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

PARALLEL_FROM = 100  # items worth starting processes for


class DemoError(ValueError):
    """A demo that cannot be made as asked, or a folder that holds something else."""


def in_parallel(function: Callable, keys: list[tuple]) -> Iterable:
    """function(*key) for each key, in their order, by processes where there are many (joblib's backend, if one is
    set by `joblib.parallel_config`)."""
    n_jobs = -1 if len(keys) >= PARALLEL_FROM else 1
    return Parallel(n_jobs, return_as="generator")(delayed(function)(*key) for key in keys)


def publish(folder: Path, made: dict, write: Callable[[Path], None]) -> Path:
    """`folder` as `write` makes it, unless it is there already, made with the same facts.

    It is written beside, as `<folder>.part`, and renamed. Raises DemoError where it holds anything else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check_same(folder, made)
        return folder
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # what a killed call left
    part.mkdir(parents=True)
    with one_thread():
        write(part)
    write_json(part / "demo.json", made)
    part.rename(folder)
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, for sums in one order (the same bytes), and since its threads gain nothing here."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _check_same(folder: Path, made: dict) -> None:
    try:
        existing = json.loads((folder / "demo.json").read_text())
    except (OSError, ValueError):
        raise DemoError(f"folder must be new, empty or this demo, got {folder}, which holds something else") from None
    if existing != made:
        raise DemoError(f"folder must hold the demo asked for, {made}, got {folder}, made with {existing}")


def check_counts(values: dict, least: dict[str, int]) -> None:
    for name, minimum in least.items():
        if not isinstance(values[name], int) or values[name] < minimum:
            raise DemoError(f"{name} must be a whole number of at least {minimum}, got {values[name]!r}")


def draw_usage(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Half Public, half Private, in random order (n_rows,)."""
    return np.where(rng.permutation(n_rows) < n_rows // 2, "Public", "Private")


def hidden_name(*parts) -> str:
    """32 hex digits that tell nothing of the parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")
