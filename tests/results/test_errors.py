"""What a run gets wrong, by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, matthews_corrcoef

from kit.results import errors
from kit.training.runs import Run

CLASSES = ["a", "b", "c"]


def make_run(labels, probability, name="run", task="single"):
    oof = pd.DataFrame(np.asarray(probability, float), columns=CLASSES)
    oof.insert(0, "id", [f"u{row}" for row in range(len(oof))])
    oof.insert(1, "fold", 0)
    oof.insert(2, "label", list(labels))
    return Run(name, {"name": name}, {"seed": 0, "metric": "accuracy", "cluster": None, "task": task}, oof)


@pytest.fixture
def run():
    """Rows a a b b c: answers a b b a a, with 0.8, 0.7, 0.6, 0.9 and 0.5."""
    rows = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.9, 0.1, 0], [0.5, 0.3, 0.2]]
    return make_run("aabbc", rows)


def random_run(seed, n_rows=200):
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, n_rows)
    sharp = np.eye(3)[[CLASSES.index(label) for label in labels]]
    return make_run(labels, 0.5 * rng.dirichlet(np.ones(3), n_rows) + 0.5 * sharp * rng.random((n_rows, 1)))


def test_confusion_is_the_share_of_each_true_class(run):
    share = errors.confusion_shares(run).loc[CLASSES, CLASSES]
    assert share.to_numpy().tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0]]
    other = random_run(0)
    answer = np.array(CLASSES)[other.probability.argmax(1)]
    reference = confusion_matrix(other.oof["label"], answer, normalize="true", labels=CLASSES)
    assert np.allclose(errors.confusion_shares(other).loc[CLASSES, CLASSES], reference)


def test_of_many_classes_those_with_most_errors_are_kept_and_confused_ones_are_neighbours():
    names = [f"c{k}" for k in range(6)]
    label = [k for k in range(6) for _ in range(4)]
    answer = [*[0] * 4, *[1, 1, 4, 4], *[2] * 4, *[3] * 3, 5, *[4, 4, 1, 1], *[5, 5, 5, 3]]
    oof = pd.DataFrame(np.eye(6)[answer], columns=names)
    oof = oof.assign(id=[f"u{k}" for k in range(24)], fold=0, label=[names[k] for k in label])
    run = Run("run", {"name": "run"}, {"seed": 0, "metric": "accuracy", "cluster": None}, oof)
    order = list(errors.confusion_shares(run).index)
    assert abs(order.index("c1") - order.index("c4")) == 1 and abs(order.index("c3") - order.index("c5")) == 1
    assert set(errors.confusion_shares(run, most=2).index) == {"c1", "c4"}


def test_confused_pairs_are_counted(run):
    found = errors.confused_pairs(run)
    assert sorted(found.itertuples(index=False, name=None)) == [("a", "b", 1, 2), ("b", "a", 1, 2), ("c", "a", 1, 1)]
    assert len(errors.confused_pairs(run, most=1)) == 1


def test_certain_errors_come_with_the_surest_right_answer_of_the_same_class(run):
    found = errors.certain_errors(run, most=2)
    assert found.to_numpy().tolist() == [["u3", "b", "a", 0.9, "u0", 0.8], ["u1", "a", "b", 0.7, "u2", 0.6]]
    none = make_run("ab", [[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    assert errors.certain_errors(none).to_numpy().tolist() == [["u0", "a", "c", 0.7, "", ""]]


def test_calibration_by_hand_and_its_error(run):
    found = errors.calibration_table(run, bins=2)
    assert found["rows"].tolist() == [3, 2]
    assert found["says"].tolist() == pytest.approx([0.6, 0.85])  # 0.5, 0.6, 0.7; 0.8, 0.9
    assert found["right"].tolist() == pytest.approx([1 / 3, 1 / 2])
    z, n, p = 1.959964, 2, 0.5  # Wilson's interval of one right of two
    middle, half = (p + z**2 / 2 / n) / (1 + z**2 / n), z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / 4 / n**2)
    assert found.loc[1, ["low", "high"]].tolist() == pytest.approx([middle - half, middle + half], rel=1e-4)
    assert errors.calibration_error(found) == pytest.approx((3 * (0.6 - 1 / 3) + 2 * 0.35) / 5)


def test_errors_of_runs_are_correlated_by_row_whatever_their_order():
    one, two = random_run(1), random_run(2)
    two = make_run(one.oof["label"], two.probability, "two")
    turned = make_run(one.oof["label"], two.probability, "two")
    turned.oof[:] = two.oof.iloc[::-1].to_numpy()
    hits = [run.probability.argmax(1) == run.target for run in (one, two)]
    for other in (two, turned):
        found = errors.error_correlation([one, other])
        assert found.loc["run", "two"] == pytest.approx(matthews_corrcoef(*hits))  # the phi coefficient
    assert np.diag(errors.error_correlation([one, two])).tolist() == [1, 1]


def test_the_pairs_least_and_most_alike_are_named():
    table = pd.DataFrame([[1, 0.3, 0.1], [0.3, 1, 0.6], [0.1, 0.6, 1]], list("abc"), list("abc"))
    assert errors.least_alike(table) == "least alike: a and c, 0.10; most alike: b and c, 0.60"
    assert errors.least_alike(table.iloc[:1, :1]) == "there are no two runs to compare"
    assert errors.least_alike(table * np.nan) == "there are no two runs to compare"


def test_several_labels_are_refused(run):
    several = make_run(run.oof["label"], run.probability, task="multi")
    for function in (errors.confusion_shares, errors.calibration_table, errors.certain_errors):
        with pytest.raises(ValueError, match="run run: task must be single, one label a row, got multi"):
            function(several)
