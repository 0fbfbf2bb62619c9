"""Kaggle's second run, played with any folder of sounds: first the test part is empty, then it is filled.

At the first run, the commit, the lists of the test name three examples that are no files; at the second there are the
files, and the lists name them. Nobody has the solution then, so solution.csv is left out.
"""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from kit.atomic import link, making, replacing
from kit.competition.competition import Competition, open_competition
from kit.competition.csv_file import read_csv
from kit.inference.predict import predict
from kit.training.runs import Run

LISTS = ("testdata.json", "sample_submission.csv", "test.csv")  # that tell the test's rows
EXAMPLES = 3


def empty_test(competition: Competition, to: str | Path) -> Path:
    """The folder as the commit sees it, made anew at `to`; files are linked, not copied, where the disk can."""
    to, hidden = Path(to), {*_test_files(competition), *_lists(competition), "solution.csv"}
    shutil.rmtree(to, ignore_errors=True)
    with making(to) as part:
        for name in competition.listing.entries:
            if name not in hidden:
                link(competition.folder / name, part / name)
        for name in _lists(competition):
            _write_examples(competition.folder / name, part / name, competition.id_column)
    return to


def fill_test(competition: Competition, to: str | Path) -> Path:
    """What empty_test made, as the second run sees it: with the test's files, and lists that name them."""
    to = Path(to)
    for name in _test_files(competition):
        if not (to / name).exists():
            link(competition.folder / name, to / name)
    for name in _lists(competition):
        with replacing(to / name) as beside:
            shutil.copyfile(competition.folder / name, beside)
    return to


def predict_aloud(runs: Run | Sequence[Run], folder: Competition | str | Path, **options: Any) -> pd.DataFrame:
    """As kit.predict, whose options it takes, with each warning printed as a line."""
    competition = folder if isinstance(folder, Competition) else open_competition(folder)

    def say(message: Warning | str, *_: Any, **__: Any) -> None:
        print(str(message).removeprefix(f"{competition.folder}: "))

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        return predict(runs, competition, **options)


def _test_files(competition: Competition) -> list[str]:
    """The files of the test's rows that there are, as the folder's listing calls them."""
    test = competition.test
    paths = [path for column in ("path", "audio") if column in test for path in test[column].dropna()]
    named = {str(PurePosixPath(path)) for path in paths}
    return [name for name in competition.listing.entries if name in named]


def _lists(competition: Competition) -> list[str]:
    return [name for name in LISTS if name in competition.listing]


def _write_examples(source: Path, path: Path, id_column: str) -> None:
    """A list of the test's rows with the first few alone, by ids that are none of them."""
    if path.suffix == ".json":
        content = json.loads(source.read_text(encoding="utf-8"))
        names = [f"example{number}.pt" for number in range(EXAMPLES)]
        content["utterances"] = [{**content["utterances"][0], "feature_path": name} for name in names]
        path.write_text(json.dumps(content), encoding="utf-8")
        return
    table = read_csv(source)
    if id_column in table:
        table = table.head(EXAMPLES)
        suffix = PurePosixPath(table[id_column].iloc[0]).suffix
        table = table.assign(**{id_column: [f"example{number}{suffix}" for number in range(len(table))]})
    table.to_csv(path, index=False, lineterminator="\n")
