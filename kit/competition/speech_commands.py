"""Speech Commands (tensorflow-speech-recognition-challenge): a clip of a second has one of ten words, or none of them.

    train/audio/WORD/SPEAKER_nohash_N.wav   clips; those of the twenty other words have the label "unknown"
    train/audio/_background_noise_/         long recordings; each whole second of them is a row of "silence"
    train/validation_list.txt, testing_list.txt   clips of two parts, which are rows too, told apart by their source
    test/audio/, sample_submission.csv      what is to be labelled: fname, label

Names repeat between the words' folders, so that an id is WORD/NAME; rows of one speaker, or of one recording of noise,
are a group. Source: Warden 2018 (arXiv 1804.03209).
"""

import re
from pathlib import PurePosixPath

import pandas as pd

from kit.competition.audio_files import is_audio
from kit.competition.headers import audio_header
from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.row_checks import check_shared, fault_notes
from kit.competition.sample import SAMPLE, read_sample
from kit.competition.sample_rows import read_sample_rows

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = (*WORDS, "silence", "unknown")
NOISE = "_background_noise_"
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "testing"}
ARCHIVE = "train.7z"
MARKER = ("train/validation_list.txt", "train/audio/validation_list.txt", "validation_list.txt", ARCHIVE)
CLIP = re.compile(r"([0-9a-f]+)_nohash_\d+\.wav")


def read_speech_commands(listing: Listing) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad file and line."""
    marker = next(name for name in MARKER if name in listing)
    if marker == ARCHIVE:
        raise CompetitionError(f"{listing.folder}/{ARCHIVE}: must be unpacked to be read, as by 7z x {ARCHIVE}")
    root = marker.rpartition("/")[0]
    audio = f"{root}/audio".lstrip("/")
    audio = audio if listing.below(audio) else root
    sample, problems = read_sample(listing), Problems(listing.folder)
    if sample.classes is not None:
        problems.add(f"{SAMPLE}: line 1", f"must have a column of ids and one of labels, got {','.join(sample.table)}")
    clips = _clips(listing, audio, problems)
    clips["source"] = _sources(listing, root, set(clips["id"]), clips["id"], problems)
    train = pd.concat([clips, _silence(listing, audio, problems)], ignore_index=True)
    if not set(WORDS) & set(train["label"]):
        problems.add(audio or "the folder", f"must hold folders of clips named {', '.join(WORDS)}, got none of them")
    test, test_notes = read_sample_rows(listing, sample, problems, train["path"], "test/audio")
    check_shared(train, test, problems)
    problems.raise_if_any()
    counts = train["label"].value_counts()
    others = clips.loc[clips["label"] == "unknown", "id"].str.partition("/")[0].nunique()
    return {
        "layout": "speech_commands",
        "features": "wave",
        "n_mels": None,
        "train": train.assign(audio=train["path"]),
        "test": test.assign(audio=test["path"]),
        "classes": CLASSES,
        "id_column": sample.id_column,
        "label_columns": sample.columns,
        "cluster": "group",
        "metric": "accuracy",
        "notes": (
            f"folds: clips of one speaker stay together ({clips['group'].nunique()} of them)",
            f"unknown: {counts.get('unknown', 0)} clips of {others} other words",
            f"silence: {counts.get('silence', 0)} seconds of {NOISE}",
            *(test_notes or fault_notes(test)),
        ),
    }


def _clips(listing: Listing, audio: str, problems: Problems) -> pd.DataFrame:
    """Columns id, path, label, group, where, start_seconds and end_seconds (NaN: the whole clip)."""
    rows = []
    for path in filter(is_audio, listing.below(audio) if audio else listing.entries):
        name = path.removeprefix(f"{audio}/")
        word, _, file = name.partition("/")
        if word == NOISE or (not audio and word == "test"):
            continue
        clip = CLIP.fullmatch(file)
        if not listing.entries[path].size:
            problems.add(path, "the file is empty")
        elif not clip:
            problems.add(path, f"must be named WORD/SPEAKER_nohash_N.wav, got {name!r}")
        else:
            rows.append((name, path, word if word in WORDS else "unknown", clip[1], path, float("nan"), float("nan")))
    return pd.DataFrame(rows, columns=["id", "path", "label", "group", "where", "start_seconds", "end_seconds"])


def _sources(listing: Listing, root: str, known: set[str], ids: pd.Series, problems: Problems) -> list[str]:
    """ "validation" or "testing" for the clips of those lists, "training" for all others."""
    sources: dict[str, str] = {}
    for file, source in LISTS.items():
        path = str(PurePosixPath(root) / file)
        if path not in listing:
            continue
        text = (listing.folder / path).read_text(encoding="utf-8", errors="replace")
        for line, name in enumerate(text.splitlines(), start=1):
            if name and name not in known:
                problems.add(f"{path}: line {line}", f"must name a clip as WORD/NAME, got {name!r}")
            elif name in sources:
                problems.add(f"{path}: line {line}", f"must name a clip that no line has yet, got {name!r}")
            sources[name] = source
    return [sources.get(name, "training") for name in ids]


def _silence(listing: Listing, audio: str, problems: Problems) -> pd.DataFrame:
    """A row for each whole second of background noise."""
    rows = []
    for path in filter(is_audio, listing.below(str(PurePosixPath(audio) / NOISE))):
        header = audio_header(listing, path)
        if isinstance(header, str):
            problems.add(path, header)
            continue
        for start in range(int(header[0])):
            name, where = f"{NOISE}/{PurePosixPath(path).name}:{start}", f"{path}: {start} to {start + 1} s"
            rows.append((name, path, "silence", PurePosixPath(path).name, where, "noise", float(start), start + 1.0))
    columns = ["id", "path", "label", "group", "where", "source", "start_seconds", "end_seconds"]
    return pd.DataFrame(rows, columns=columns)
