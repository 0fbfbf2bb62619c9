"""The two that are sent in the end: one by CV, one by the leaderboard, and why."""

import itertools
import math

import pandas as pd

from kit.results.bootstrap import Interval
from kit.results.ledger import is_share, noise, ranked, signs


def choose_two(rows: pd.DataFrame, public_rows: int | None = None) -> pd.DataFrame:
    """Of read_ledger's rows the best CV, and the best public score of another file; next by CV where none is scored.

    Columns by, name, cv, public, private, file, why. Raises ValueError where no row has a CV, or their metrics differ.
    """
    rows = ranked(rows.drop_duplicates("sha256"), "cv")
    if rows.empty:
        raise ValueError("rows must hold a submission with a CV, got none")
    first, rest = rows.iloc[0], rows.iloc[1:]
    picks = [{"by": "CV", **_facts(first), "why": _why_first(first, rest)}]
    scored = ranked(rest, "public")
    if len(scored):
        second = scored.iloc[0]
        picks.append({"by": "public score", **_facts(second), "why": _why_second(second, first, public_rows)})
    elif len(rest):
        second = rest.iloc[0]
        picks.append({"by": "CV", **_facts(second), "why": "the next by CV; no other has a public score"})
    return pd.DataFrame(picks)


def regret_table(rows: pd.DataFrame, picks: pd.DataFrame) -> pd.DataFrame:
    """What ways to choose two rows cost on the private part: the best private score of all, less that of the two.

    A row a way: columns choice, picks, private (the better of the two, as Kaggle counts) and regret, 0 being the best
    choice there was. picks is the table of choose_two. Raises ValueError where a row that is picked has no private
    score.
    """
    rows = rows.drop_duplicates("sha256")
    scored = rows[rows["private"].notna()]
    if missing := sorted(set(picks["file"]) - set(scored["file"])):
        raise ValueError(f"rows must hold the private score of each pick, got none for {missing[0]}")
    sign = float(signs(scored)[0])
    private = dict(zip(scored["file"], sign * scored["private"], strict=True))
    name = dict(zip(scored["file"], scored["name"], strict=True))
    pairs = list(itertools.combinations(private, min(2, len(private))))
    choices = {"the two above": tuple(picks["file"])}
    choices |= {f"two best by {by}": tuple(ranked(scored, by)["file"][:2]) for by in ("cv", "public")}
    best, table = max(private.values()), []
    for choice, files in choices.items():
        score = max(private[file] for file in files)
        table.append((choice, ", ".join(name[file] for file in files), sign * score, best - score))
    mean = sum(max(private[file] for file in files) for files in pairs) / len(pairs)
    table.append(("two at random", f"mean of {len(pairs)} pairs", sign * mean, best - mean))
    return pd.DataFrame(table, columns=["choice", "picks", "private", "regret"])


def _facts(row: pd.Series) -> dict:
    return row[["name", "cv", "public", "private", "file"]].to_dict()


def _why_first(first: pd.Series, rest: pd.DataFrame) -> str:
    text = f"the best CV, {Interval(first['cv'], first['cv_low'], first['cv_high'])}"
    sign, worst = signs(rest), first["cv_high" if first["higher_is_better"] == "False" else "cv_low"]
    near = rest["name"][sign * rest["cv"] >= sign * worst]
    return text + (f"; its interval holds {', '.join(near)} too" if len(near) else "; no other lies in its interval")


def _why_second(second: pd.Series, first: pd.Series, public_rows: int | None) -> str:
    text = f"the best public score of the rest, {second['public']:.3f}"
    if math.isnan(first["public"]):
        return text + "; the first has none yet"
    ahead = second["public"] - first["public"]
    text += f", {ahead:+.3f} from the first's"
    if public_rows is None or not is_share(second["metric"]):
        return text
    reach = 1.96 * math.hypot(noise(second["public"], public_rows), noise(first["public"], public_rows))
    told = "within" if abs(ahead) <= reach else "beyond"
    return text + f": {told} the {reach:.3f} that {public_rows} rows can differ by chance"
