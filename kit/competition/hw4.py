"""NTU ML2022Spring-hw4: speakers by their log-mels. `metadata.json`, `mapping.json`, `testdata.json`, `*.pt`.

What is wrong with a training file is an error. A test file that is missing or can't be read is kept, with its fault;
that none can be used is an error, but where there is none at all, as in a notebook before it runs again.
A folder may also hold `audio/<name>.flac` beside each `<name>.pt`; then the tables get an `audio` column.
"""

from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from kit.competition.listing import Listing, Problems
from kit.competition.row_checks import fault_notes

MARKER = "metadata.json"


def read_hw4(listing: Listing) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad row."""
    metadata, mapping, testdata = (
        listing.read_json(name) for name in ("metadata.json", "mapping.json", "testdata.json")
    )
    problems = Problems(listing.folder)
    n_mels = _n_mels(metadata, testdata, problems)
    classes = _classes(mapping, problems)
    train = _train_rows(metadata, set(classes), problems)
    test = _rows(testdata.get("utterances"), "testdata.json", "utterances", problems)
    _check_paths(train, test, listing, problems)
    problems.raise_if_any()
    table = _table(test, listing)
    return {
        "layout": "hw4",
        "features": "mel",
        "n_mels": n_mels,
        "train": _table(train, listing),
        "test": table.drop(columns="label"),
        "classes": classes,
        "id_column": "Id",
        "label_columns": ("Category",),
        "cluster": "label",  # utterances of one speaker are not independent
        "notes": tuple(_notes(table, listing)),
    }


def _notes(test: pd.DataFrame, listing: Listing) -> list[str]:
    if any(path in listing for path in test["path"]):
        return fault_notes(test)
    return [f"there is no test file, so that all {len(test)} rows of testdata.json will be given the class priors"]


def _n_mels(metadata: dict, testdata: dict, problems: Problems) -> int:
    n_mels: Any = metadata.get("n_mels")
    if not isinstance(n_mels, int) or isinstance(n_mels, bool) or n_mels < 1:
        problems.add("metadata.json: n_mels", f"must be a positive whole number, got {n_mels!r}")
    elif testdata.get("n_mels") != n_mels:
        problems.add("testdata.json: n_mels", f"must be metadata.json's {n_mels}, got {testdata.get('n_mels')!r}")
    return n_mels


def _classes(mapping: dict, problems: Problems) -> tuple[str, ...]:
    numbers = mapping.get("speaker2id")
    if not isinstance(numbers, dict) or not numbers:
        problems.add("mapping.json: speaker2id", "must be an object of at least one speaker")
        return ()
    if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        problems.add("mapping.json: speaker2id", f"numbers must be 0 to {len(numbers) - 1}, each once")
        return ()
    return tuple(sorted(numbers, key=lambda speaker: int(numbers[speaker])))


def _train_rows(metadata: dict, classes: set[str], problems: Problems) -> list[dict]:
    speakers = metadata.get("speakers")
    if not isinstance(speakers, dict) or not speakers:
        problems.add("metadata.json: speakers", "must be an object of at least one speaker")
        return []
    rows = []
    for speaker, utterances in speakers.items():
        if speaker not in classes:
            problems.add(f"metadata.json: speaker {speaker}", "is not in mapping.json")
        speaker_rows = _rows(utterances, "metadata.json", f"speaker {speaker}", problems)
        rows += [{**row, "label": speaker} for row in speaker_rows]
    return rows


def _rows(utterances: object, file: str, field: str, problems: Problems) -> list[dict]:
    if not isinstance(utterances, list) or not utterances:
        problems.add(f"{file}: {field}", "must be a list of at least one utterance")
        return []
    rows = []
    for number, item in enumerate(utterances):
        where = f"{file}: {field}, row {number}"
        path, frames = (item.get("feature_path"), item.get("mel_len")) if isinstance(item, dict) else (None, None)
        if not isinstance(path, str):
            problems.add(where, "must hold feature_path (text) and mel_len")
        elif not isinstance(frames, int) or isinstance(frames, bool) or frames < 1:
            problems.add(f"{where} ({path})", f"mel_len must be a positive whole number, got {frames!r}")
        else:
            rows.append({"id": path, "path": path, "label": None, "frames": frames, "where": where})
    return rows


def _check_paths(train: list[dict], test: list[dict], listing: Listing, problems: Problems) -> None:
    """Gives each test row its `fault`, which is no problem where it lies in the file and not in the path."""
    seen: dict[str, str] = {}
    for rows in (train, test):
        for row in rows:
            where, path = f"{row['where']} ({row['path']})", str(PurePosixPath(row["path"]))
            rule = listing.fault(row["path"])
            if path in seen:
                problems.add(where, f"the same file as {seen[path]}")
            elif rule and (rows is train or listing.path_fault(row["path"])):
                problems.add(where, rule)
            seen.setdefault(path, row["where"])
            if rows is test:
                row["fault"] = rule or ""
    if test and all(row["fault"] for row in test) and any(row["path"] in listing for row in test):
        first = test[0]
        problems.add("testdata.json", f"no test file can be used, such as {first['path']}: {first['fault']}")


def _table(rows: list[dict], listing: Listing) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    audio = [f"audio/{PurePosixPath(path).with_suffix('.flac')}" for path in table["path"]]
    if all(path in listing for path in audio):
        table["audio"] = audio
    return table
