"""Which training rows count in a score: those like the test part's, where there are enough of them.

A score over clips and windows of soundscapes together tells mostly whether a row is a clip: of a class that only
soundscapes have, "is it a soundscape" alone has a high ROC-AUC.
"""

import pandas as pd

LEAST_FILES = 5  # of the sort that counts: fewer can't be shared out over the usual folds


def with_counts(train: pd.DataFrame, source: str, test_like: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows with a column `counts`, True for those of one source, and a note; unchanged where too few files have it.

    test_like: how the note calls those rows.
    """
    counts = train["source"] == source
    files = train["path"][counts].nunique()
    if counts.all() or not files:
        return train, []
    if files < LEAST_FILES:
        return train, [f"scores: of all rows, for fewer than {LEAST_FILES} files ({files}) have {test_like}"]
    rest = f"the other {(~counts).sum():,} rows are trained on, not scored"
    return train.assign(counts=counts), [
        f"scores: of the {counts.sum():,} {test_like} alone, as the test part's; {rest}"
    ]
