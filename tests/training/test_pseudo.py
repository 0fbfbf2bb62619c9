"""The rule, the rounds, and the leak tests: a fold must learn nothing from its own recordings' pseudo labels."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.folds import Folds, make_folds
from kit.data.features import LogMel
from kit.data.store import Store, pack
from kit.experiment import Experiment
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.training.crossval import crossval
from kit.training.framewise import framewise_probability, peak_boxes
from kit.training.loop import Loop
from kit.training.losses import BCE
from kit.training.predict import Windows
from kit.training.pseudo import TEST, LeakError, PseudoLabels, pseudo_rows
from kit.training.pseudo_rounds import COLUMNS, agreed, make_pseudo_labels, round_report
from kit.training.schedules import WarmupCosine

MEL = LogMel(32000, 64, 0.04, 0.04, 300.0, 14000.0)
TINY = Experiment(
    name="teacher", folds=Folds(2), features=MEL, crop_frames=64,
    net=Net(Timm("test_byobnet", frequency="stack"), head=ClassAttention()), loss=BCE(), schedule=WarmupCosine(1),
    loop=Loop(epochs=1, epoch_steps=2, batch_size=4), predict=Windows(overlap=16),
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def forest(rainforest, cache):
    return pack(rainforest, cache, MEL, progress=False)


def train(experiment, competition, out, cache):
    return crossval(experiment, competition, out, cache=cache, n_jobs=1, threads=1, progress=False)[0].folder


@pytest.fixture(scope="module")
def teachers(rainforest, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return [train(TINY.but(name=f"t{n}", seed=n), rainforest, out, cache) for n in range(3)]


@pytest.fixture(scope="module")
def labels(teachers, forest, tmp_path_factory):
    return make_pseudo_labels(teachers, forest, tmp_path_factory.mktemp("pseudo"), threshold=0.5, least=2)


def test_the_rule_by_hand():
    votes = np.zeros((5, 1, 5))
    votes[:, 0, 0] = [0.5, 0.5, 0.5, 0.1, 0.1]  # three of five, at the threshold
    votes[:, 0, 1] = [0.99, 0.99, 0.4, 0.4, 0.4]  # two only, however sure
    votes[:, 0, 2] = 0.95
    votes[:, 0, 3] = 0.95
    votes[:, 0, 4] = [0.9, 0.9, 0.9, 0.8, 0.8]
    known = np.array([[-1, -1, 0, 1, -1]])  # what was checked stays as it was checked
    assert agreed(votes, known).tolist() == [[True, False, False, False, True]]
    assert agreed(votes, known, threshold=0.9).tolist() == [[False, False, False, False, True]]
    assert agreed(votes, known, threshold=0.9, least=2).tolist() == [[False, True, False, False, True]]


def test_a_bad_rule_is_refused():
    votes, known = np.zeros((5, 1, 2)), np.full((1, 2), -1)
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\], got 0"):
        agreed(votes, known, threshold=0)
    with pytest.raises(ValueError, match=r"least must be in 1 to the number of models \(5\), got 6"):
        agreed(votes, known, least=6)


def test_a_peak_is_the_box_of_its_frame():
    probability = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.3]])
    start, end = peak_boxes(probability, np.array([1, 0]), 96)
    assert start.tolist() == [0, 32] and end.tolist() == [32, 64]


def test_frames_share_a_recording(teachers, forest):
    from kit.training.checkpoint import load_model

    model, _ = load_model(teachers[0] / "fold0/best.pt")
    probability = framewise_probability(model, forest, 0)
    assert probability.shape == (5, 24) and ((probability > 0) & (probability < 1)).all()  # 150 frames at 32 a step
    with pytest.raises(ValueError, match="store must be of kind \"mel\" to classify frames, got 'wave'"):
        framewise_probability(model, replace(forest, kind="wave"), 0)


def test_a_round_holds_what_the_votes_say(labels, teachers, forest, rainforest):
    table = pd.read_parquet(labels)
    assert list(table.columns) == list(COLUMNS) and len(table) > 20
    known = dict(zip(rainforest.train["id"], rainforest.train["label"].str.split(), strict=True))
    oof = [pd.read_parquet(run / "oof.parquet").set_index("id") for run in teachers]
    test = [pd.read_parquet(run / "test.parquet").set_index("id") for run in teachers]
    assert {TEST} < set(table["fold"])
    for row in table.itertuples():
        assert row.label not in known.get(row.id, []) and f"-{row.label}" not in known.get(row.id, [])
        votes = [part.at[row.id, row.label] for part in (test if row.fold == TEST else oof)]
        assert sum(vote >= 0.5 for vote in votes) == row.votes >= 2
        assert row.probability == pytest.approx(np.mean(votes), rel=1e-5)
        assert 0 <= row.start < row.end <= 150
    fold = make_folds(rainforest.train, 2, classes=rainforest.classes, hold_all=True)
    folds = dict(zip(rainforest.train["id"], fold, strict=True))
    train_part = table[table["fold"] != TEST]
    assert train_part["fold"].tolist() == [folds[name] for name in train_part["id"]]


def test_a_round_is_named_by_what_it_holds(labels, teachers, forest):
    assert make_pseudo_labels(teachers, forest, labels.parent, threshold=0.5, least=2) == labels
    assert make_pseudo_labels(teachers, forest, labels.parent, threshold=0.5, least=3) != labels
    alone = pd.read_parquet(make_pseudo_labels(teachers, forest, labels.parent, least=2, with_test=False))
    assert TEST not in set(alone["fold"])


def test_a_report_counts_and_compares_with_the_truth(labels):
    table = pd.read_parquet(labels)
    first = table[table["fold"] != TEST].iloc[0]
    report = round_report(labels, {(first["id"], first["label"])}).set_index("part")
    assert report["labels"].sum() == len(table)
    assert report.at["train", "precision"] == pytest.approx(1 / (table["fold"] != TEST).sum())
    assert report.at["test", "precision"] == 0 and round_report(labels)["precision"].isna().all()


def test_a_fold_gets_no_pseudo_label_of_its_own_recordings(labels, forest):
    train_rows = forest.rows("train")
    folds = make_folds(forest.index.iloc[train_rows], 2, classes=forest.classes, hold_all=True)
    table = pd.read_parquet(labels)
    for fold in (0, 1):
        found = pseudo_rows(labels, forest, train_rows[folds != fold], train_rows[folds == fold])
        assert not set(found["row"]) & set(train_rows[folds == fold])
        assert len(found) == (table["fold"] != fold).sum()


def test_with_folds_by_site_no_test_recording_of_a_held_out_site_has_labels(tmp_path):
    """Row 0, of site A, is held out; of the test rows c is of A, d of B, e of the held-out recording's group."""
    table = {
        "id": list("abcde"), "split": ["train"] * 2 + ["test"] * 3,
        "site": list("ABABB"), "group": ["g", "h", "i", "j", "g"],
    }  # fmt: skip
    store = Store(tmp_path, None, pd.DataFrame(table), "mel", ("x",), None)
    round_one = pd.DataFrame(
        {"id": list("abcde"), "label": "x", "fold": [0, 1, TEST, TEST, TEST], "start": 0, "end": 10}
    )
    round_one.to_parquet(path := tmp_path / "round.parquet")
    for by, expected in (("site", [1, 3]), ("group", [1, 2, 3]), ("", [1, 2, 3])):
        assert pseudo_rows(path, store, [1], [0], by)["row"].tolist() == expected, by


def test_other_folds_than_the_teachers_are_refused(labels, forest, teachers, tmp_path):
    train_rows = forest.rows("train")
    others = make_folds(forest.index.iloc[train_rows], 2, 7, classes=forest.classes, hold_all=True)
    with pytest.raises(LeakError, match="folds must be those of this experiment"):
        pseudo_rows(labels, forest, train_rows[others != 0], train_rows[others == 0])
    with pytest.raises(LeakError, match="no row may be in training and held out"):
        pseudo_rows(labels, forest, train_rows, train_rows[:3])


def test_teachers_of_other_folds_are_refused(rainforest, teachers, forest, cache, tmp_path):
    other = train(TINY.but(name="other", folds__seed=7), rainforest, tmp_path, cache)
    with pytest.raises(LeakError, match="must have the recordings and folds of"):
        make_pseudo_labels([*teachers, other], forest, tmp_path)


def weights(run, fold):
    return torch.load(run / f"fold{fold}/best.pt", weights_only=True)["model"]


def test_a_fold_learns_nothing_from_its_own_recordings_pseudo_labels(rainforest, labels, cache, tmp_path):
    """Nonsense in the place of fold 0's pseudo labels must leave fold 0's model as it is, and change fold 1's."""
    table = pd.read_parquet(labels)
    own = table["fold"] == 0
    table.loc[own, "label"] = [f"s{(int(name[1:]) + 5) % 24}" for name in table.loc[own, "label"]]
    table.loc[own, ["start", "end"]] = [0, 10]
    table.to_parquet(tmp_path / "nonsense.parquet")
    runs = [
        train(TINY.but(name=name, pseudo=PseudoLabels(str(path))), rainforest, tmp_path, cache)
        for name, path in (("right", labels), ("wrong", tmp_path / "nonsense.parquet"))
    ]
    (right, wrong), (other, changed) = ([weights(run, fold) for run in runs] for fold in (0, 1))
    assert all(torch.equal(right[name], wrong[name]) for name in right)
    assert not all(torch.equal(other[name], changed[name]) for name in other)
