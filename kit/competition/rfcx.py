"""RFCX (rfcx-species-audio-detection): species in soundscapes, of which only some (recording, species) pairs are known.

`train_tp.csv` and `train_fp.csv` (recording_id, species_id, songtype_id, t_min, f_min, t_max, f_max) hold boxes where a
species calls, and where a detector was wrong; `train/` and `test/` one audio file a recording;
`sample_submission.csv` (recording_id, s0 …) a row a test recording.

What is wrong with a training recording or a box is an error. A test recording that can't be used is kept, with its
fault, so that it does not cost the submission: it is given the class priors.
"""

import math

import pandas as pd

from kit.competition.audio_files import find_audio
from kit.competition.csv_file import read_csv
from kit.competition.headers import audio_header
from kit.competition.labels import known_text
from kit.competition.listing import Listing, Problems
from kit.competition.row_checks import fault_notes, unnamed_notes
from kit.competition.sample import SAMPLE

MARKER = "train_tp.csv"
FILES = ("train_tp.csv", "train_fp.csv")
COLUMNS = ("recording_id", "species_id", "songtype_id", "t_min", "f_min", "t_max", "f_max")
SLACK_SECONDS = 0.05  # boxes are rounded, and lie up to a frame of the detector's beyond the end


def read_rfcx(listing: Listing) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad row."""
    problems = Problems(listing.folder)
    sample = read_csv(listing.folder / "sample_submission.csv")
    classes = _classes(sample, problems)
    boxes = pd.concat([_read_boxes(listing, file, problems) for file in FILES], ignore_index=True)
    problems.raise_if_any()
    boxes["path"] = [find_audio(listing, name, "train")[0] for name in boxes["id"]]
    test = pd.DataFrame(
        {"id": sample["recording_id"], "path": [find_audio(listing, i, "test")[0] for i in sample["recording_id"]]}
    )
    test["where"] = [f"sample_submission.csv: line {line}" for line in test.index]
    test = test.reset_index(drop=True)
    headers = {path: audio_header(listing, path) for path in [*boxes["path"].unique(), *test["path"].unique()]}
    rate = _common_rate(headers)
    faults = {path: _fault(header, rate) for path, header in headers.items()}
    _check_boxes(boxes, classes, headers, faults, problems)
    first = boxes.groupby("path")["id"].transform("first")
    for number in boxes.index[boxes["id"] != first]:
        problems.add(boxes["where"][number], f"the same file as recording {first[number]}")
    for number in test.index[test["path"].duplicated()]:
        problems.add(f"{test['where'][number]} ({test['id'][number]})", "a recording that has a line already")
    problems.raise_if_any()
    test["fault"] = test["path"].map(faults)
    train = _recordings(boxes)
    used = [*train["path"], *test["path"]]
    return {
        "layout": "rfcx",
        "features": "wave",
        "n_mels": None,
        "train": train.assign(audio=train["path"]),
        "test": test.assign(audio=test["path"]),
        "classes": classes,
        "id_column": "recording_id",
        "label_columns": classes,
        "cluster": None,  # a row is a recording
        "task": "multi",
        "metric": "lwlrap",
        "boxes": boxes[["id", "label", "true", "t_min", "t_max", "f_min", "f_max"]],
        "notes": (*unnamed_notes(listing, used, " or ".join(FILES), SAMPLE), *fault_notes(test)),
    }


def _classes(sample: pd.DataFrame, problems: Problems) -> tuple[str, ...]:
    wanted = ["recording_id", *(f"s{number}" for number in range(len(sample.columns) - 1))]
    if list(sample.columns) != wanted or len(wanted) < 3:
        problems.add("sample_submission.csv: line 1", f"must be recording_id,s0,s1,…, got {','.join(sample.columns)}")
    return tuple(wanted[1:])


def _read_boxes(listing: Listing, file: str, problems: Problems) -> pd.DataFrame:
    """Columns id, label, true, t_min, t_max, f_min, f_max, where: what a row alone can be checked for."""
    table = read_csv(listing.folder / file)
    if tuple(table.columns) != COLUMNS:
        problems.add(f"{file}: line 1", f"must be {','.join(COLUMNS)}, got {','.join(table.columns)}")
        return pd.DataFrame()
    table["where"] = [f"{file}: line {line} ({name})" for line, name in table["recording_id"].items()]
    for column in COLUMNS[3:]:
        numbers = pd.to_numeric(table[column], errors="coerce")
        for line in table.index[~numbers.map(math.isfinite)]:
            problems.add(table["where"][line], f"{column} must be a number, got {table[column][line]!r}")
        table[column] = numbers
    table["label"] = "s" + table["species_id"]
    return table.assign(true=file == FILES[0]).rename(columns={"recording_id": "id"})


def _common_rate(headers: dict) -> int | None:
    rates = pd.Series([header[1] for header in headers.values() if not isinstance(header, str)])
    return None if rates.empty else int(rates.mode()[0])


def _fault(header: tuple[float, int] | str, rate: int | None) -> str:
    if isinstance(header, str):
        return header
    return "" if header[1] == rate else f"must have the others' sample rate, {rate} Hz, got {header[1]} Hz"


def _check_boxes(boxes: pd.DataFrame, classes, headers: dict, faults: dict, problems: Problems) -> None:
    for box in boxes.itertuples():
        if box.label not in classes:
            problems.add(box.where, f"species_id must be 0 to {len(classes) - 1}, got {box.label[1:]!r}")
        if not box.t_min < box.t_max:
            problems.add(box.where, f"t_max must be above t_min ({box.t_min:g}), got {box.t_max:g}")
        if not box.f_min <= box.f_max:
            problems.add(box.where, f"f_max must be at least f_min ({box.f_min:g}), got {box.f_max:g}")
        if fault := faults[box.path]:
            problems.add(box.where, fault)
        elif box.t_min < 0 or box.t_max > headers[box.path][0] + SLACK_SECONDS:
            length = headers[box.path][0]
            problems.add(box.where, f"the box must lie in 0 to {length:g} s, got {box.t_min:g} to {box.t_max:g}")


def _recordings(boxes: pd.DataFrame) -> pd.DataFrame:
    """A row a recording: id, path, label (its known species as text), where (its first box)."""
    rows = []
    for (name, path), recording in boxes.groupby(["id", "path"], sort=True):
        label = known_text(recording["label"][recording["true"]], recording["label"][~recording["true"]])
        rows.append({"id": name, "path": path, "label": label, "where": recording["where"].iloc[0].split(" (")[0]})
    return pd.DataFrame(rows)
