import pandas as pd

from kit.competition.counted import with_counts


def table(n_windows: int, files: int) -> pd.DataFrame:
    paths = ["a.ogg", "b.ogg", *(f"s{number % files}.ogg" for number in range(n_windows))]
    return pd.DataFrame({"path": paths, "source": ["clip"] * 2 + ["soundscape"] * n_windows})


def test_rows_of_one_source_count_where_there_are_enough_files():
    train, notes = with_counts(table(10, 5), "soundscape", "windows of soundscapes")
    assert train["counts"].tolist() == [False] * 2 + [True] * 10
    told = "scores: of the 10 windows of soundscapes alone, as the test part's"
    assert notes == [f"{told}; the other 2 rows are trained on, not scored"]


def test_all_count_where_there_are_too_few_or_no_others():
    few, notes = with_counts(table(10, 4), "soundscape", "windows")
    assert "counts" not in few and notes == ["scores: of all rows, for fewer than 5 files (4) have windows"]
    for source in ("noisy", "clip"):
        alone = table(0, 1)
        same, notes = with_counts(alone, source, "rows")
        assert "counts" not in same and notes == []
