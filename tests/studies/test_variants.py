"""Each row of the page changes what its name says and nothing else."""

import pytest

from kit import preset, recording_preset
from kit.experiment import changes
from kit.studies.variants import recording_experiments, shortened, sound_experiments


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
    short = shortened(preset("demo"), epochs=2, folds=3)
    assert (short.loop.epochs, short.folds.n) == (2, 3)
    assert short.schedule.warmup_steps == 2 * short.loop.epoch_steps // 5
    assert set(changes(preset("demo").to_dict(), short.to_dict())) == {
        "loop__epochs", "folds__n", "schedule__warmup_steps",
    }  # fmt: skip
