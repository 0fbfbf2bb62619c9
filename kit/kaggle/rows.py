"""The ledger's rows of what goes to Kaggle and comes back: a pushed kernel, what it made, a CSV, and their scores."""

import os
from collections.abc import Mapping
from pathlib import Path

from kit.competition.competition import Competition
from kit.kaggle.client import Kaggle
from kit.kaggle.kernel import NOTEBOOK, Kernel
from kit.kaggle.sending import facts_of, found_by_tag
from kit.results.ledger import LEDGER, add_row, change_rows, file_sha256, ranked, read_ledger

Row = Mapping[str, object]


def record_push(ledger: Path, kernel: Kernel, version: int, folder: Path) -> None:
    """A row for the kernel's version; its sha256 is that of the notebook that was sent."""
    notebook = folder / NOTEBOOK
    row = {"competition": kernel.competition, "run": f"kaggle/{kernel.slug}", "name": kernel.slug}
    row |= {"sha256": file_sha256(notebook), "file": _relative(notebook), "kernel": f"{kernel.ref}/{version}"}
    add_row(ledger, row)


def newest_version(ledger: Path, kernel: str) -> str:
    """`kernel` with the highest version that was pushed from here, or "" where none was."""
    pushed = read_ledger(ledger)["kernel"] if ledger.exists() else []
    versions = [int(name.rpartition("/")[2]) for name in pushed if name.rpartition("/")[0] == kernel]
    return f"{kernel}/{max(versions)}" if versions else ""


def adopt_output(ledger: Path, folder: Path, version: str) -> list[str]:
    """Add the rows of a kernel's own ledger, downloaded to `folder`, to the ledger at home; the names of their runs.

    Raises ValueError for a row whose CSV is not the one that its sha256 tells.
    """
    theirs = folder / LEDGER
    if not theirs.exists():
        return []
    rows = read_ledger(theirs).to_dict("records")
    for row in rows:
        file = folder / str(row["file"])
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{theirs}: file must lie in {folder}, got {row['file']!r}")
        if not file.is_file() or file_sha256(file) != row["sha256"]:
            raise ValueError(f"{file}: must be there with the sha256 of its row in {theirs}")
        row |= {"file": _relative(file), "kernel": version}
        row |= {"experiment": _relative(folder / str(row["experiment"]))} if row["experiment"] else {}
    for row in rows:
        add_row(ledger, row)
    return [str(row["run"]) for row in rows]


def row_of_file(ledger: Path, file: Path, competition: Competition) -> Row:
    """The ledger's newest row with this file's bytes; a new one where it has none."""
    sha256 = file_sha256(file)
    rows = read_ledger(ledger) if ledger.exists() else None
    if rows is None or sha256 not in set(rows["sha256"]):
        facts = {"competition": competition.folder.name, "run": f"files/{file.stem}", "name": file.stem}
        add_row(ledger, facts | {"sha256": sha256, "file": _relative(file)})
        rows = read_ledger(ledger)
    return rows[rows["sha256"] == sha256].iloc[-1].to_dict()


def row_of_kernel(ledger: Path, kernel: str, version: int) -> Row:
    """The row of the best CV that the kernel's version made, else that of its push. Raises ValueError for neither."""
    name = f"{kernel}/{version}"
    rows = read_ledger(ledger) if ledger.exists() else None
    if rows is None or not (rows["kernel"] == name).any():
        raise ValueError(f"{ledger}: must have a row of kernel {name}, which a push or its output leaves, got none")
    rows = rows[rows["kernel"] == name]
    scored = rows.dropna(subset=["cv"])
    if scored.empty:
        return rows.iloc[-1].to_dict()
    return ranked(scored[scored["metric"] == scored["metric"].iloc[0]], "cv").iloc[0].to_dict()  # as hand_in picks


def bring_scores(kaggle: Kaggle, competition: str, ledger: Path) -> int:
    """Bring status and scores of all that was sent there into the ledger, by ref or by tag; how many rows got any."""
    submissions = kaggle.submissions(competition)
    by_ref = {submission.ref: submission for submission in submissions}

    def changed(row: dict[str, str]) -> dict[str, object]:
        if row["sent_to"] not in ("", competition):
            return {}
        submission = by_ref.get(row["ref"]) if row["ref"] else found_by_tag(submissions, row["sha256"])
        return {"sent_to": competition, **facts_of(submission)} if submission else {}

    return change_rows(ledger, changed)


def _relative(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()
