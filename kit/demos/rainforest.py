"""The demo rainforest: made-up recordings in RFCX's exact layout, with known truth beside it.

`train_tp.csv` and `train_fp.csv` hold a detector's hits, checked; `truth/calls.csv` holds every call there is,
`solution.csv` the species of each test recording. Every recording is a function of (seed, number).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm.std import tqdm

from kit.demos.publish import DemoError, check_counts, draw_usage, hidden_name, in_parallel, publish, write_csv
from kit.demos.soundscape import N_SPECIES, Call, make_recording

VERSION = 1  # of the sounds: raise it when a change of the synthesiser changes the bytes
LOWEST_RATE_HZ = 26000  # the highest call is at 12.5 kHz
BOX = ["recording_id", "species_id", "songtype_id", "t_min", "f_min", "t_max", "f_max"]


def make_rainforest(
    folder: str | Path,
    n_train: int = 120,
    n_test: int = 60,
    seconds: float = 12.0,
    rate_hz: int = 32000,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """24 species in one-channel FLAC recordings, only some (recording, species) pairs of which are known.

    A folder already made by the same call is kept as it is. Raises: DemoError for a bad number, or a folder that holds
    anything else.
    """
    made = {"demo": "rainforest", "n_train": n_train, "n_test": n_test, "seconds": seconds, "rate_hz": rate_hz}
    made |= {"seed": seed, "version": VERSION}
    check_counts(made, {"n_train": 1, "n_test": 2, "rate_hz": LOWEST_RATE_HZ, "seed": 0})
    if not 6 <= seconds <= 3600:
        raise DemoError(f"seconds must be in [6, 3600], got {seconds!r}")

    def write(part: Path) -> None:
        _write(part, n_train, n_test, seconds, rate_hz, seed, progress)

    return publish(Path(folder), made, write)


def _write(part: Path, n_train: int, n_test: int, seconds: float, rate_hz: int, seed: int, progress: bool) -> None:
    names = [hidden_name("rainforest", seed, number)[:9] for number in range(n_train + n_test)]
    for folder in ("train", "test", "truth"):
        (part / folder).mkdir()
    splits = ["train"] * n_train + ["test"] * n_test
    paths = [part / split / f"{name}.flac" for split, name in zip(splits, names, strict=True)]
    keys = [(path, seed, number, seconds, rate_hz) for number, path in enumerate(paths)]
    recordings = list(tqdm(in_parallel(_record, keys), "rainforest", len(keys), disable=not progress))
    calls, hits = [], {True: [], False: []}
    for name, split, (heard, checked) in zip(names, splits, recordings, strict=True):
        calls += [{"recording_id": name, **_box(call), "level_db": round(call.level_db, 1)} for call in heard]
        if split == "train":
            for call, right in checked:
                hits[right].append({"recording_id": name, **_box(call)})
    rng = np.random.default_rng((seed, 2))
    for right, file in ((True, "train_tp.csv"), (False, "train_fp.csv")):
        table = pd.DataFrame(hits[right], columns=BOX)
        write_csv(part / file, table.iloc[rng.permutation(len(table))])
    truth = pd.DataFrame(calls, columns=[*BOX, "level_db"])
    write_csv(part / "truth" / "calls.csv", truth)
    _write_test_tables(part, sorted(names[n_train:]), truth, rng)


def _record(path: Path, seed: int, number: int, seconds: float, rate_hz: int) -> tuple[list, list]:
    """Write one recording; its calls and hits."""
    wave, calls, hits = make_recording(seed, number, seconds, rate_hz)
    soundfile.write(path, wave, rate_hz)
    return calls, hits


def _box(call: Call) -> dict:
    """A call as the columns of RFCX's tables."""
    times = {"t_min": round(call.t_min, 4), "f_min": round(call.f_min, 2)}
    times |= {"t_max": round(call.t_max, 4), "f_max": round(call.f_max, 2)}
    return {"species_id": call.species, "songtype_id": 1, **times}


def _write_test_tables(part: Path, names: list[str], truth: pd.DataFrame, rng: np.random.Generator) -> None:
    present = np.zeros((len(names), N_SPECIES), dtype=int)
    row = pd.Series(np.arange(len(names)), index=names)
    there = truth[truth["recording_id"].isin(names)]
    present[row[there["recording_id"]].to_numpy(), there["species_id"].to_numpy()] = 1
    table = pd.DataFrame(present, columns=[f"s{number}" for number in range(N_SPECIES)])
    table.insert(0, "recording_id", names)
    write_csv(part / "sample_submission.csv", table.assign(**{name: 0 for name in table.columns[1:]}))
    write_csv(part / "solution.csv", table.assign(Usage=draw_usage(len(names), rng)))


def read_truth(folder: str | Path) -> pd.DataFrame | None:
    """Every call of a demo's recordings: id, label, t_min, t_max (s), f_min, f_max (Hz), level_db; None elsewhere."""
    path = Path(folder) / "truth" / "calls.csv"
    if not path.exists():
        return None
    table = pd.read_csv(path).rename(columns={"recording_id": "id"})
    table["label"] = "s" + table["species_id"].astype(str)
    return table[["id", "label", "t_min", "t_max", "f_min", "f_max", "level_db"]]
