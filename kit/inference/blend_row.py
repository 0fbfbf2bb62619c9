"""What a ledger's row was made of: the runs, and how they were mixed."""

import json
from pathlib import Path
from typing import Any

from kit.parts import unknown
from kit.results.ledger import LEDGER, read_ledger


def read_blend(row: str, ledger: str | Path = LEDGER) -> dict[str, Any]:
    """The arguments runs, weights and how of `predict` for a row of the ledger, by its run, its name or its file.

    Of several rows it is the last. Paths are taken from the folder that the ledger's are written from.
    Raises FileNotFoundError, or ValueError where there is no such row or it does not tell its runs.
    """
    rows = read_ledger(ledger)
    matching = rows[(rows["run"] == row) | (rows["name"] == row) | (rows["file"] == row)]
    if matching.empty:
        raise ValueError(unknown(f"{ledger}: no row", row, rows["run"].unique()))
    path = Path(matching["experiment"].iloc[-1])
    if not matching["experiment"].iloc[-1]:
        raise ValueError(f"{ledger}: row {row!r} does not tell the runs that it was made of; name the runs themselves")
    if path.name == "experiment.json":
        return {"runs": [path.parent], "weights": None, "how": "mean"}
    try:
        blend = json.loads(path.read_text(encoding="utf-8"))["blend"]
        return {"runs": list(map(Path, blend["runs"])), "weights": blend["weights"], "how": blend["how"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: must tell a blend's runs, weights and how, got {error!r}") from None
