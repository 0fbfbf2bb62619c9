"""Run tests/bench with pytest-benchmark, and print each row's time beside the source's way."""

import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd
import torch

from kit.results.ledger import to_markdown
from kit.training.identity import environment

COLUMNS = ("work", "beside", "peer (ms)", "kit (ms)", "ratio", "best", "reach", "limit (ms)", "gap", "notes")
BOUND = "bounded by"
BENCHES = Path(__file__).parents[1] / "tests/bench"


def run_benchmarks(gpu: bool = False) -> pd.DataFrame:
    """A row a piece of work: milliseconds of the peer's way and of the kit's (medians of their turns), and their ratio.

    ratio is of the medians, best of the two quickest rounds, which noise on the machine touches less; reach is what
    the ratio should be. The column "bounded by" says what keeps a row from being faster, limit is the time that this
    takes by itself, and gap how many times that the kit's way takes. The rows of a GPU are measured with `gpu`. Raises
    RuntimeError where a benchmark fails, or there is no GPU to measure.
    """
    if not BENCHES.is_dir():
        raise RuntimeError("the benchmarks are not there: they come with the repository, not with the package")
    if gpu and not torch.cuda.is_available():
        raise RuntimeError("--gpu needs a CUDA GPU that PyTorch can use, and there is none")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pytest", str(BENCHES), "-p", "no:cacheprovider", "-q", "--benchmark-quiet"]
        command += ["-o", "python_files=bench_*.py", "-o", "addopts=--import-mode=importlib"]
        command += [f"--benchmark-json={found}", *([] if gpu else [f"--ignore={BENCHES}/bench_gpu.py"])]
        if subprocess.run(command, cwd=BENCHES.parents[1]).returncode:
            raise RuntimeError("a benchmark failed; its traceback is above")
        benchmarks = json.loads(found.read_text())["benchmarks"]
    return pd.DataFrame([_row(item) for item in benchmarks], columns=[*COLUMNS, BOUND])


def _row(item: dict) -> dict[str, object]:
    """A row of the table out of one of pytest-benchmark's; a parameter makes a row of its own."""
    notes, ours = dict(item["extra_info"]), item["stats"]
    row = {"work": item["group"] + (f", {item['param']}" if item["param"] else ""), "kit (ms)": 1000 * ours["median"]}
    row |= {name: notes.pop(name, None) for name in ("beside", "reach", "limit (ms)", BOUND)}
    if peer := notes.pop("peer", None):
        row["peer (ms)"] = 1000 * peer["median"]
        row |= {"ratio": peer["median"] / ours["median"], "best": peer["min"] / ours["min"]}
    if row["limit (ms)"]:
        row["gap"] = row["kit (ms)"] / row["limit (ms)"]
    return row | {"notes": ", ".join(f"{name} {value}" for name, value in notes.items()) or None}


def report(table: pd.DataFrame, command: str) -> str:
    """The table as a page of Markdown: the command, the machine, the date, the rows, what bounds them."""
    shown = table[list(COLUMNS)].copy()
    for column in COLUMNS[2:-1]:
        shown[column] = ["" if pd.isna(value) else f"{value:.3g}" for value in shown[column].astype(float)]
    bounds = [f"- {row['work']}: {row[BOUND]}" for _, row in table.iterrows() if isinstance(row[BOUND], str)]
    lines = [f"`{command}`, {date.today()}: {describe_machine()}", "", to_markdown(shown)]
    return "\n".join(lines + (["", "What bounds a row:", "", *bounds] if bounds else [])) + "\n"


def describe_machine() -> str:
    """One line: hardware and versions that the figures belong to."""
    facts = environment()
    where = facts["gpu"] or f"{facts['cores']} CPU cores"
    return f"{where}, {facts['platform']}, Python {facts['python']}, torch {facts['torch']}"
