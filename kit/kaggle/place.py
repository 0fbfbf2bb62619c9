"""What a kernel says of itself at its start, and what it leaves at its end."""

import os
import platform
import shutil
from pathlib import Path

import torch

from kit.results.ledger import LEDGER, ranked, read_ledger

RUN_TYPE = "KAGGLE_KERNEL_RUN_TYPE"  # Interactive or Batch, set in every kernel of Kaggle's


def say_where(gpu: bool) -> None:
    """Print one line: where this runs, and on what. `gpu` says whether one was asked for.

    Raises RuntimeError on Kaggle where it was and does not work: a card that PyTorch has no code for is allocated
    without a word, and nine hours later nothing was trained.
    """
    where = f"Kaggle ({os.environ[RUN_TYPE]})" if RUN_TYPE in os.environ else "at home"
    device, works = _device()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"runs {where} on {device}, {os.cpu_count()} cores, {versions}")
    if gpu and not works and RUN_TYPE in os.environ:
        raise RuntimeError(f"this kernel asked for a GPU and must have one that works, got {device}")


def hand_in(ledger: str | Path = LEDGER, target: str | Path = "submission.csv") -> None:
    """Copy the CSV of the ledger's best CV to the name that competitions ask for, where a run has left one.

    Where the ledger has several metrics, the first row's counts. On Kaggle the packed features go: what lies in the
    working folder is kept as output, up to 20 GB, and downloaded.
    """
    if RUN_TYPE in os.environ:
        shutil.rmtree("cache", ignore_errors=True)
    rows = read_ledger(ledger).dropna(subset=["cv"]) if Path(ledger).exists() else None
    if rows is None or rows.empty:
        print("no submission was made")
        return
    best = ranked(rows[rows["metric"] == rows["metric"].iloc[0]], "cv").iloc[0]
    shutil.copyfile(best["file"], target)
    print(f"{target}: {best['file']}, CV {best['cv']:.4f}")


def _device() -> tuple[str, bool]:
    """The device in words, and whether it is a GPU that multiplies two matrices rightly."""
    if not torch.cuda.is_available():
        return "the CPU", False
    try:
        major, minor = torch.cuda.get_device_capability()
        card = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()} (sm_{major}{minor})"
        threes = torch.full((64, 64), 3.0, device="cuda")
        works = float((threes @ threes).sum()) == 64**3 * 9.0
    except RuntimeError as error:
        return f"a GPU that fails ({str(error).splitlines()[0]})", False
    return card + ("" if works else ", which multiplies wrongly"), works
