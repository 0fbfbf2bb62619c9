"""Run tests/bench with pytest-benchmark, and print each row's time beside the source's way."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from kit.training.environment import environment

COLUMNS = ("work", "beside", "peer (ms)", "kit (ms)", "ratio", "best", "notes")
BENCHES = Path(__file__).parents[1] / "tests/bench"


def run_benchmarks() -> pd.DataFrame:
    """A row a piece of work: milliseconds of the peer's way and of the kit's (medians of one run), and their ratio.

    ratio is of the medians, best of the two quickest rounds, which noise on the machine touches less. Raises
    RuntimeError where a benchmark fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pytest", str(BENCHES), "-p", "no:cacheprovider", "-q", "--benchmark-quiet"]
        command += ["-o", "python_files=bench_*.py", "-o", "addopts=--import-mode=importlib"]
        command += [f"--benchmark-json={found}"]
        if subprocess.run(command, cwd=BENCHES.parents[1]).returncode:
            raise RuntimeError("a benchmark failed; its traceback is above")
        benchmarks = json.loads(found.read_text())["benchmarks"]
    return _table(benchmarks)


def _table(benchmarks: list[dict]) -> pd.DataFrame:
    rows: dict[str, dict] = {}
    times: dict[tuple[str, bool], dict] = {}
    for item in benchmarks:
        # test_<what>_<way>, way being "kit" or the peer's name; a parameter makes a row of its own
        way = item["name"].split("[")[0].rsplit("_", 1)[1]
        work = item["group"] + (f", {item['param']}" if item["param"] else "")
        row = rows.setdefault(work, dict.fromkeys(COLUMNS) | {"work": work})
        times[work, way == "kit"] = item["stats"]
        row |= {"kit (ms)": item["stats"]["median"] * 1000} if way == "kit" else {"beside": way}
        if item["extra_info"]:
            row["notes"] = ", ".join(f"{name} {value}" for name, value in item["extra_info"].items())
    for work, row in rows.items():
        if (work, False) in times:
            peer, ours = times[work, False], times[work, True]
            row["peer (ms)"] = peer["median"] * 1000
            row |= {"ratio": peer["median"] / ours["median"], "best": peer["min"] / ours["min"]}
    return pd.DataFrame(rows.values())


def describe_machine() -> str:
    """One line: hardware and versions that the figures belong to."""
    facts = environment()
    where = facts["gpu"] or f"{facts['cores']} CPU cores"
    return f"{where}, {facts['platform']}, Python {facts['python']}, torch {facts['torch']}"
