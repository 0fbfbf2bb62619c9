"""What would tell a difference, by hand and by simulation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.results.advice import advise, seeds_to_tell
from kit.training.runs import Run


@pytest.mark.parametrize(
    ("delta", "rows_sd", "seed_sd", "wanted"),
    [
        (0.0196, 0.0, 0.01, 2),  # one seed is just on the border, which is not beyond it
        (0.02, 0.0, 0.01, 1),
        (-0.01, 0.0, 0.01, 4),  # (1.96 · 0.01 / 0.01)² = 3.84
        (0.0392, 0.0122, 0.02, 2),  # room (0.02² - 0.0122²) = 0.000251, 0.0004 / 0.000251 = 1.59
        (0.0196, 0.01, 0.01, None),  # the rows alone hide it
        (0.0, 0.0, 0.01, None),
        (0.05, 0.01, 0.0, 1),
    ],
)
def test_the_number_of_seeds_by_hand(delta, rows_sd, seed_sd, wanted):
    assert seeds_to_tell(delta, rows_sd, seed_sd) == wanted


def test_with_so_many_seeds_half_of_all_measurements_tell_and_with_half_of_them_fewer():
    """A measurement is the truth plus both noises; it tells where it is 1.96 of their sd from 0."""
    delta, rows_sd, seed_sd = 0.02, 0.005, 0.03
    seeds, rng = seeds_to_tell(delta, rows_sd, seed_sd), np.random.default_rng(0)

    def share_told(n_seeds):
        noise = np.sqrt(rows_sd**2 + seed_sd**2 / n_seeds)
        return (np.abs(delta + noise * rng.normal(size=20_000)) > 1.96 * noise).mean()

    assert share_told(seeds) == pytest.approx(0.5, abs=0.05) and share_told(seeds // 2) < 0.4


def make_run(name, seed, right, n_rows=300):
    """A run that is right in a share of rows, others for each seed."""
    hit = np.random.default_rng([seed, len(name)]).random(n_rows) < right
    oof = pd.DataFrame({"id": [f"u{row}" for row in range(n_rows)], "fold": np.arange(n_rows) % 3, "label": "a"})
    metrics = {"seed": seed, "metric": "accuracy", "cluster": None, "folds": {}, "minutes": 1, "parameters": 1}
    return Run(f"{name}-s{seed}", {"name": name}, metrics, oof.assign(a=hit * 1.0, b=1.0 - hit))


def test_advice_follows_the_numbers():
    base = make_run("base", 0, 0.6)
    runs = [base, make_run("better", 0, 0.9), replace(base, name="same-s0", experiment={"name": "same"})]
    found = advise(runs, "base").set_index("name")
    assert found.loc["better", "Δ CV"] > 0.2
    assert found.loc["better", "advice"] == (
        "told from noise" if found.loc["better", "noise of a seed"] > 0
        else "beyond the rows' noise; a second seed of both shows a training's own"
    )  # fmt: skip
    assert found.loc["same", "advice"] == "no difference to tell"
    flipped = base.oof["a"].to_numpy().copy()
    flipped[:30] = 1 - flipped[:30]
    close = replace(base, name="close-s0", experiment={"name": "close"}, oof=base.oof.assign(a=flipped, b=1 - flipped))
    said = advise([base, close], "base").iloc[0]
    rows = (1.96 * said["noise of rows"] / said["Δ CV"]) ** 2
    assert said["advice"] == f"no number of seeds: it takes {rows:.1f} times as many rows" and rows > 1


def test_over_two_seeds_and_more_the_seeds_speak_for_themselves():
    runs = [make_run(name, seed, right) for name, right in (("base", 0.6), ("better", 0.7)) for seed in range(3)]
    found = advise(runs, "base").iloc[0]
    scores = np.array([[run.oof["a"].mean() for run in runs[:3]], [run.oof["a"].mean() for run in runs[3:]]])
    assert found["noise of a seed"] == pytest.approx(np.sqrt(scores.var(1, ddof=1).sum()))
    assert found["seeds"] == 3


@pytest.mark.parametrize(("spread", "said"), [(0.0, "a second seed"), (0.6, "more seeds of both")])
def test_one_seed_never_says_that_a_seed_has_no_noise(spread, said):
    """Δ 0.3 in every third of the rows, or 0.3 ± 0.3 over folds."""
    base, better = make_run("base", 0, 0.5), make_run("better", 0, 0.5)
    fold, place = base.oof["fold"].to_numpy(), np.arange(300) // 3
    gain = 0.3 + spread / 2 * (fold - 1)
    for run, right in ((base, place < 30), (better, place < 30 + 100 * gain)):
        run.oof["a"], run.oof["b"] = right * 1.0, 1.0 - right
    found = advise([base, better], "base").iloc[0]
    assert found["Δ CV"] == pytest.approx(0.3) and said in found["advice"]
    assert np.isnan(found["noise of a seed"]) == (spread == 0.0)


def test_another_metric_may_be_asked_for():
    runs = [make_run("base", 0, 0.6), make_run("better", 0, 0.9)]
    by_loss = advise(runs, "base", "log_loss").iloc[0]
    assert by_loss["Δ CV"] < 0 < advise(runs, "base").iloc[0]["Δ CV"]
