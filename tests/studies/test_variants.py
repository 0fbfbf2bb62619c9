"""Each row of the page changes what its name says and nothing else."""

import pandas as pd
import pytest

from kit import preset, recording_preset
from kit.experiment import changes
from kit.studies.variants import readable, recording_experiments, shortened, sound_experiments


@pytest.mark.parametrize(
    "tables", [sound_experiments(preset("demo"), True), recording_experiments(recording_preset("demo"))]
)
def test_a_variant_changes_one_thing(tables):
    for base, *variants in tables.values():
        for variant in variants:
            changed = set(changes(base.to_dict(), variant.to_dict())) - {"name"}
            assert len(changed) == 1 or all(name.startswith("loss__") for name in changed)
        names = [variant.name for variant in (base, *variants)]
        assert len(set(names)) == len(names)


def test_a_short_training_is_warmed_up_over_a_fifth_of_it():
    short = shortened(preset("demo"), epochs=2, folds=2)
    assert (short.loop.epochs, short.folds.n) == (2, 2)
    assert short.schedule.warmup_steps == 2 * short.loop.epoch_steps // 5
    assert set(changes(preset("demo").to_dict(), short.to_dict())) == {
        "loop__epochs", "folds__n", "schedule__warmup_steps",
    }  # fmt: skip


def test_a_comparison_is_told_as_one_reads_it():
    nan = float("nan")
    rows = [("base", 0.5, 0.0, nan, nan, nan, ""), ("other", 0.625, 0.125, 0.01, 0.24, 0.034, "differs")]
    table = pd.DataFrame(rows, columns=["name", "score", "delta", "low", "high", "p_holm", "verdict"])
    assert readable(table).to_numpy().tolist() == [
        ["base", "0.500", "the baseline", "", ""],
        ["other", "0.625", "+0.125 [+0.010, +0.240]", "0.034", "differs"],
    ]
