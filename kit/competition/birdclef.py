"""BirdCLEF 2024, 2025 and 2026 (and 2023, of the same layout): species in soundscapes, learnt from single clips.

    sample_submission.csv             row_id and a column a class
    taxonomy.csv                      the classes (2024: eBird_Taxonomy_v2021.csv, all birds there are)
    train.csv, train_audio/           clips (2024: train_metadata.csv)
    train_soundscapes/                long recordings without labels (2024: unlabeled_soundscapes/)
    train_soundscapes_labels.csv      the labels of windows of a few of them (2026)
    test_soundscapes/                 what is to be labelled, or nothing before Kaggle runs the notebook again

What is wrong with a training row is an error. A test soundscape that can't be used is kept, with its fault: its rows
are given the class priors.
"""

import pandas as pd

from kit.competition.birdclef_notes import class_notes, clip_notes, group_notes, soundscape_notes, window_notes
from kit.competition.clip_labels import read_clips, short_clips
from kit.competition.counted import with_counts
from kit.competition.csv_file import read_csv
from kit.competition.labels import known_text
from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.rerun_rows import SAMPLE, read_test
from kit.competition.row_ids import site_and_hour
from kit.competition.soundscape_labels import FILE as LABELS
from kit.competition.soundscape_labels import NO_WINDOWS, read_soundscape_labels
from kit.competition.soundscapes import FOLDERS, headers_of, other_windows, soundscapes_in, window_faults
from kit.parts import one_of, part

MARKER = ("taxonomy.csv", "eBird_Taxonomy_v2021.csv")
CLIPS = ("train_metadata.csv", "train.csv")
LABEL_COLUMN = {"taxonomy.csv": "primary_label", "eBird_Taxonomy_v2021.csv": "SPECIES_CODE"}
HEAD = f"{SAMPLE}: line 1"


@part
class BirdCLEF:
    """The reader, and what it takes a clip to say: open_competition(folder, layout=BirdCLEF(secondary="present")).

    secondary: its secondary labels are "present", or "unknown" and so left out of loss and score, which was worth 0.01
    to the third of 2024. others: all other classes are "absent" or "unknown". An annotated window of a soundscape says
    all of its classes whatever these are.
    groups: folds keep together an "author"'s clips, and the windows of each soundscape; or no more than a "recording";
    or an author's clips, and a "site"'s soundscapes, to see what a new site costs: as Folds(by="site") does.
    """

    secondary: str = "unknown"
    others: str = "absent"
    groups: str = "author"

    def check(self):
        one_of(self, "secondary", ("present", "unknown"))
        one_of(self, "others", ("absent", "unknown"))
        one_of(self, "groups", ("author", "recording", "site"))

    def __call__(self, listing: Listing) -> dict | None:
        """As `read_birdclef`, or None for a folder of another layout."""
        return read_birdclef(listing, self) if any(name in listing for name in MARKER) else None


DEFAULT = BirdCLEF()


def read_birdclef(listing: Listing, reader: BirdCLEF = DEFAULT) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad row."""
    problems = Problems(listing.folder)
    sample = read_csv(listing.folder / SAMPLE)
    classes = tuple(sample.columns[1:])
    _check_classes(listing, sample, problems)
    clips = read_clips(listing, _clips_file(listing), classes, problems)
    problems.raise_if_any()
    headers = headers_of(listing, soundscapes_in(listing, FOLDERS, problems).values())
    windows = _windows(listing, classes, headers, problems)
    short = short_clips(listing, clips, problems)
    test, test_notes = read_test(listing, sample, problems)
    problems.raise_if_any()
    others = other_windows(headers, windows)
    train = pd.concat([_clip_rows(clips, classes, reader), _window_rows(windows, reader)], ignore_index=True)
    train, counted_notes = with_counts(train, "soundscape", "windows of soundscapes")
    notes = [
        *group_notes(train, reader.groups),
        *counted_notes,
        *class_notes(clips, windows, classes),
        *clip_notes(clips, short, classes),
        *window_notes(windows, others),
        *soundscape_notes(headers),
        *test_notes,
    ]
    return {
        "layout": "birdclef",
        "features": "wave",
        "n_mels": None,
        "train": train,
        "test": _placed(test, reader),
        "unlabelled": _placed(others, reader) if len(others) else None,
        "classes": classes,
        "id_column": "row_id",
        "label_columns": classes,
        "cluster": "group",  # windows of a soundscape, or clips of an author, are not independent
        "task": "multi",
        "metric": "roc_auc",
        "notes": tuple(notes),
    }


def _clips_file(listing: Listing) -> str:
    if tables := [name for name in CLIPS if name in listing]:
        return tables[0]
    raise CompetitionError(f"{listing.folder}: must have {' or '.join(CLIPS)}, which name the clips")


def _check_classes(listing: Listing, sample: pd.DataFrame, problems: Problems) -> None:
    """The sample's columns against the taxonomy's rows: 2025's and 2026's hold the classes and no others."""
    if sample.columns[0] != "row_id" or len(sample.columns) < 3:
        problems.add(HEAD, f"must be row_id and a column a class, got {','.join(sample.columns[:3])}")
        problems.raise_if_any()
    file, labels = _taxonomy(listing, problems)
    classes, known = set(sample.columns[1:]), set(labels)
    for line in labels.index[labels.duplicated()]:
        problems.add(f"{file}: line {line}", f"{labels.name} must be there once, got {labels[line]!r} again")
    for name in sample.columns[1:]:
        if name not in known:
            problems.add(HEAD, f"each class must be in {file}, got {name!r}")
    if file == MARKER[0]:
        for line in labels.index[~labels.isin(classes)]:
            problems.add(f"{file}: line {line}", f"{labels.name} must be a column of {SAMPLE}, got {labels[line]!r}")
    problems.raise_if_any()


def _taxonomy(listing: Listing, problems: Problems) -> tuple[str, pd.Series]:
    """The file's name, and its labels by line."""
    file = next(name for name in MARKER if name in listing)
    table, column = read_csv(listing.folder / file), LABEL_COLUMN[file]
    if column not in table:
        problems.add(f"{file}: line 1", f"must have the column {column}, got {','.join(table)}")
        problems.raise_if_any()
    return file, table[column]


def _windows(listing: Listing, classes: tuple[str, ...], headers: dict, problems: Problems) -> pd.DataFrame:
    windows = read_soundscape_labels(listing, classes, problems) if LABELS in listing else NO_WINDOWS
    for where, rule in window_faults(headers, windows):
        problems.add(where, rule)
    problems.raise_if_any()
    ends = windows["path"].map({path: header[0] for path, header in headers.items() if not isinstance(header, str)})
    return windows.assign(end_seconds=windows["end_seconds"].clip(upper=ends))


def _clip_rows(clips: pd.DataFrame, classes: tuple[str, ...], reader: BirdCLEF) -> pd.DataFrame:
    absent, known, labels = reader.others == "absent", set(classes), []
    for primary, secondary in zip(clips["primary"].tolist(), clips["secondary"], strict=True):
        others = [name for name in secondary if name in known]
        if reader.secondary == "present":
            labels.append(known_text([primary, *others], rest_absent=absent))
        else:
            labels.append(known_text([primary], unknown=others if absent else (), rest_absent=absent))
    table = clips[["id", "path", "where"]].assign(label=labels, source="clip", site=clips["author"])
    group = clips["path" if reader.groups == "recording" else "author"]
    return table.assign(audio=clips["path"], group=group, start_seconds=float("nan"), end_seconds=float("nan"))


def _window_rows(windows: pd.DataFrame, reader: BirdCLEF) -> pd.DataFrame:
    labels = [known_text(present, rest_absent=True) for present in windows["present"]]
    table = windows.drop(columns=["present", "rows"]).astype({"start_seconds": float, "end_seconds": float})
    return _placed(table.assign(label=labels, source="soundscape"), reader)


def _placed(table: pd.DataFrame, reader: BirdCLEF) -> pd.DataFrame:
    """Windows with their audio, their site, or the path where it names none, and their group."""
    places = {path: site_and_hour(path) for path in table["path"].unique()}
    site = table["path"].map({path: f"site {parts[0]}" if parts else path for path, parts in places.items()})
    group = site if reader.groups == "site" else table["path"]
    return table.assign(audio=table["path"], site=site, group=group)
