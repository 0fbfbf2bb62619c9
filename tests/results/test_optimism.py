import pandas as pd
import pytest

from kit.results.optimism import epoch_optimism
from kit.training.runs import Run


def make_run(folder, *folds, metric="accuracy"):
    for number, scores in enumerate(folds):
        (folder / f"fold{number}").mkdir(parents=True)
        pd.DataFrame({"valid_score": scores}).to_csv(folder / f"fold{number}/log.csv")
    return Run("run", {"name": "run"}, {"seed": 0, "metric": metric}, pd.DataFrame(), folder)


def test_a_folds_best_is_set_beside_what_the_others_choose(tmp_path):
    run = make_run(tmp_path, [0.1, 0.5, 0.4], [0.2, 0.3, 0.6], [0.1, 0.6, 0.5, 0.9])
    # Of three epochs: the others of fold 0 choose the third (0.55), of fold 1 the second, of fold 2 the third.
    assert epoch_optimism(run) == pytest.approx(((0.5 - 0.4) + (0.6 - 0.3) + (0.6 - 0.5)) / 3)


def test_where_lower_is_better_the_lowest_is_best(tmp_path):
    run = make_run(tmp_path, [3.0, 1.0, 2.0], [3.0, 2.0, 1.0], metric="log_loss")
    assert epoch_optimism(run) == pytest.approx(1.0)


def test_folds_that_choose_alike_flatter_nothing_and_one_has_no_others(tmp_path):
    assert epoch_optimism(make_run(tmp_path / "a", [0.1, 0.2], [0.3, 0.4])) == 0
    with pytest.raises(ValueError, match="run run: must have at least 2 folds, got 1"):
        epoch_optimism(make_run(tmp_path / "b", [0.1]))
