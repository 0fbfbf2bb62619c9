"""Soft labels by hand, and the leak tests: no word on a fold's own rows, or on their groups, may reach its net."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.folds import Folds
from kit.competition.metrics import METRICS
from kit.data.batch import Batch
from kit.data.batches import generator_for
from kit.data.features import LogMel
from kit.data.hidden import groups_of
from kit.data.mix_plan import MixPlan
from kit.data.store import Store
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.parts import part
from kit.training.fold import fold_of_rows, train_fold, write_json
from kit.training.loader import train_loader
from kit.training.loop import Loop
from kit.training.losses import BCE
from kit.training.pseudo import LeakError, PseudoLabels
from kit.training.schedules import WarmupCosine
from kit.training.soft_labels import (
    SoftLabels,
    SoftRows,
    confidence_weight,
    held_out_key,
    soft_rows,
)
from kit.training.soft_rounds import UNLABELLED, label_report, make_soft_labels, sharpened, unlabelled_probability

CLASSES = ("a", "b", "c")
N_FRAMES, N_FILES = 20, 8


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """8 recordings of 4 windows: of 6 two windows are labelled and two are not, of 2 none is."""
    rng = np.random.default_rng(0)
    rows = []
    for file in range(N_FILES):
        for window in range(4):
            labelled = file < 6 and window < 2
            label = f"{CLASSES[(file + window) % 3]} -*" if labelled else ""
            rows.append((f"f{file}_{5 * window + 5}", "train" if labelled else "unlabelled", label, f"f{file}"))
    index = pd.DataFrame(rows, columns=["id", "split", "label", "group"])
    index = index.assign(target=-1, start=N_FRAMES * np.arange(len(index)), frames=N_FRAMES, fault="", note="")
    features = torch.from_numpy(rng.normal(size=(N_FRAMES * len(index), 8)).astype(np.float32))
    folder = tmp_path_factory.mktemp("store")
    return Store(folder, features, index, "mel", CLASSES, LogMel(n_mels=8), "multi")


TINY = Experiment(
    name="tiny", folds=Folds(2), features=LogMel(n_mels=8), crop_frames=16, augment=(),
    net=Net(Conformer(width=8, layers=1, heads=2, ff_width=16, kernel_size=5)), loss=BCE(),
    schedule=WarmupCosine(1), loop=Loop(epochs=1, batch_size=4),
)  # fmt: skip


def train(experiment, store, out, folds=(0, 1)):
    run = out / experiment.name
    write_json(run / "experiment.json", experiment.to_dict())
    for fold in folds:
        train_fold(experiment, store, fold, run, METRICS["roc_auc"])
    return run


@pytest.fixture(scope="module")
def teachers(windows, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return [train(TINY.but(name=f"t{seed}", seed=seed), windows, out) for seed in range(2)]


@pytest.fixture(scope="module")
def labels(teachers, windows, tmp_path_factory):
    return make_soft_labels(teachers, windows, tmp_path_factory.mktemp("soft"), power=2.0, floor=0.2)


def split(store, fold):
    rows, folds = store.rows("train"), fold_of_rows(TINY, store)
    return rows[folds != fold], rows[folds == fold]


def test_a_label_by_hand():
    """0.6² is 0.36; 0.4² is 0.16, below the floor; a floor is of the label, not of the probability."""
    found = sharpened(np.array([[0.6, 0.4, 1.0, 0.0]]), power=2.0, floor=0.2)
    assert found == pytest.approx(np.array([[0.36, 0.0, 1.0, 0.0]]))
    assert sharpened(np.array([0.25]), power=0.5, floor=0.5) == pytest.approx([0.5])


def test_confidence_by_hand():
    """Group x: highest 0.9 and 0.3, mean 0.6, so 0.3 a row; y: 0.2 for its one row; in all 0.8."""
    target = np.array([[0.9, 0.0], [0.1, 0.3], [0.2, 0.0]], dtype=np.float32)
    assert confidence_weight(target, np.array(["x", "x", "y"])) == pytest.approx([0.375, 0.375, 0.25])
    with pytest.raises(ValueError, match="must have one above 0 for rows to be drawn by it, got 2 rows of 0"):
        confidence_weight(np.zeros((2, 3)), np.array(["x", "y"]))


def test_rows_are_drawn_by_their_weight_or_once_a_pass():
    soft = SoftRows(np.arange(4), np.zeros((4, 1), np.float32), np.array([0.7, 0.3, 0.0, 0.0]))
    drawn = torch.cat([soft.order(torch.zeros(4), generator_for(seed)) for seed in range(500)])
    assert drawn.lt(2).all() and drawn.eq(0).double().mean().item() == pytest.approx(0.7, abs=0.04)  # sd 0.01
    assert torch.equal(soft.order(torch.zeros(4), generator_for(3)), soft.order(torch.zeros(4), generator_for(3)))
    once = SoftRows(np.arange(4), np.zeros((4, 1), np.float32))
    assert sorted(once.order(torch.zeros(4), generator_for(0)).tolist()) == [0, 1, 2, 3]


def test_a_key_names_a_set_of_rows():
    assert held_out_key(["b", "a"]) == held_out_key(["a", "b"]) != held_out_key(["a", "c"])
    assert held_out_key(["a"], "") == held_out_key(["a"]) != held_out_key(["a"], "site")
    assert held_out_key(["a"], "source") != held_out_key(["a"], "site")


@pytest.fixture(scope="module")
def sited(windows):
    """The same of three sites, each of which has labelled recordings, and two a recording that nobody labelled."""
    site = windows.index["group"].map({f"f{n}": f"S{n % 3}" for n in range(N_FILES)})
    return replace(windows, index=windows.index.assign(site=site))


def test_with_folds_by_site_no_row_of_a_held_out_site_is_labelled(sited, tmp_path):
    experiment = TINY.but(folds=Folds(3, by="site"))
    run = train(experiment, sited, tmp_path, folds=(0, 1, 2))
    path = make_soft_labels([run], sited, tmp_path, floor=0.0)
    rows, folds = sited.rows("train"), fold_of_rows(experiment, sited)
    for fold in range(3):
        train_rows, held_out = rows[folds != fold], rows[folds == fold]
        soft = soft_rows(SoftLabels(str(path)), sited, train_rows, held_out, "site")
        (site,) = set(sited.index["site"].iloc[held_out])
        unlabelled = sited.rows("unlabelled")
        assert set(soft.row) == set(unlabelled[sited.index["site"].to_numpy()[unlabelled] != site])
        with pytest.raises(LeakError, match="has no labels by nets that held out this fold's rows"):
            soft_rows(SoftLabels(str(path)), sited, train_rows, held_out)
    train(experiment.but(name="taught", pseudo=SoftLabels(str(path))), sited, tmp_path, folds=(0,))


def test_a_label_of_a_row_of_a_held_out_site_is_refused(sited, labels, tmp_path):
    """f6 is of S0, and its group is held out nowhere."""
    train_rows = sited.rows("train")
    of_site = sited.index["site"].to_numpy()[train_rows] == "S0"
    key = held_out_key(sited.index["id"].iloc[train_rows[of_site]], "site")
    odd = changed(labels, tmp_path / "odd.parquet", lambda t: t[t["id"].isin(["f6_5"])].assign(fold=key))
    with pytest.raises(LeakError, match="odd.parquet: 'f6_5' is of a group or site that is held out, and has labels"):
        soft_rows(odd, sited, train_rows[~of_site], train_rows[of_site], "site")


def test_labels_are_the_mean_over_runs_of_the_folds_own_nets(labels, teachers, windows):
    for fold in (0, 1):
        said = [pd.read_parquet(run / f"fold{fold}" / UNLABELLED).set_index("id") for run in teachers]
        soft = soft_rows(SoftLabels(str(labels)), windows, *split(windows, fold))
        ids = windows.index["id"].iloc[soft.row]
        mean = np.mean([table.loc[ids].to_numpy() for table in said], axis=0)
        assert soft.target == pytest.approx(np.where(mean**2 >= 0.2, mean**2, 0), abs=1e-6)
        assert soft.weight.sum() == pytest.approx(1) and (soft.target > 0).any()


def test_a_fold_has_no_label_of_a_group_that_it_holds_out(labels, windows):
    rows = {}
    for fold in (0, 1):
        train_rows, held_out = split(windows, fold)
        soft = soft_rows(SoftLabels(str(labels)), windows, train_rows, held_out)
        assert not set(groups_of(windows, soft.row)) & set(groups_of(windows, held_out))
        hidden = set(groups_of(windows, held_out))
        unlabelled = windows.rows("unlabelled")
        assert set(soft.row) == {row for row in unlabelled if windows.index["group"].iat[row] not in hidden}
        rows[fold] = set(soft.row)
    assert {"f6", "f7"} == set(groups_of(windows, sorted(rows[0] & rows[1]))), "recordings that nobody labelled"


def test_a_file_is_named_by_what_it_holds(labels, teachers, windows):
    assert make_soft_labels(teachers, windows, labels.parent, power=2.0, floor=0.2) == labels
    assert make_soft_labels(teachers, windows, labels.parent, power=1.0, floor=0.2) != labels


def test_what_a_net_said_is_kept_and_read_again(teachers, windows, monkeypatch):
    first = unlabelled_probability(teachers[0] / "fold0", windows)
    assert len(first) == 20 and list(first.columns) == list(CLASSES) and first.to_numpy().max() < 1
    monkeypatch.setattr("kit.training.soft_rounds.load_model", None)
    pd.testing.assert_frame_equal(unlabelled_probability(teachers[0] / "fold0", windows), first)


def test_rows_below_the_least_are_left_out(teachers, windows, tmp_path):
    whole = pd.read_parquet(make_soft_labels(teachers, windows, tmp_path, floor=0.0))
    least = float(whole[list(CLASSES)].max(axis=1).median())
    some = pd.read_parquet(make_soft_labels(teachers, windows, tmp_path, floor=0.0, least=least))
    assert len(some) == (whole[list(CLASSES)].max(axis=1) >= np.float32(least)).sum() < len(whole)
    with pytest.raises(ValueError, match="least must leave each fold a row of a group .*, got 1.0"):
        make_soft_labels(teachers, windows, tmp_path, least=1.0)


def test_a_report_counts_rows_and_labels(labels):
    report = label_report(labels)
    table = pd.read_parquet(labels)
    assert report["rows"].sum() == len(table) and (report["labelled"] <= report["rows"]).all()
    values = table[list(CLASSES)].to_numpy()
    assert (report["labels a row"] * report["rows"]).sum() == pytest.approx((values > 0).sum())


def changed(labels, path, change):
    table = pd.read_parquet(labels)
    change(table).to_parquet(path)
    return SoftLabels(str(path))


def test_labels_that_would_leak_are_refused(labels, teachers, windows, tmp_path):
    train_rows, held_out = split(windows, 0)
    soft = SoftLabels(str(labels))
    with pytest.raises(LeakError, match="has no labels by nets that held out this fold's rows"):
        soft_rows(soft, windows, np.append(train_rows, held_out[0]), held_out[1:])
    with pytest.raises(LeakError, match="no row may be in training and held out, got 'f"):
        soft_rows(soft, windows, np.append(train_rows, held_out[0]), held_out)
    own = windows.index["id"].iloc[windows.rows("unlabelled")]
    own = own[np.isin(groups_of(windows, own.index), groups_of(windows, held_out))].iloc[0]
    key = held_out_key(windows.index["id"].iloc[held_out])
    odd = changed(labels, tmp_path / "odd.parquet", lambda t: t.assign(id=[own] + t["id"].tolist()[1:], fold=key))
    with pytest.raises(LeakError, match=rf"odd.parquet: '{own}' is of a group that is held out, and has labels"):
        soft_rows(odd, windows, train_rows, held_out)
    mine = windows.index["id"].iat[int(train_rows[0])]
    odd = changed(labels, tmp_path / "odd.parquet", lambda t: t.assign(id=mine, fold=key))
    with pytest.raises(LeakError, match=rf"must label none of the training rows, got '{mine}'"):
        soft_rows(odd, windows, train_rows, held_out)


def test_a_bad_file_is_refused(labels, windows, tmp_path):
    rows = split(windows, 0)
    path = tmp_path / "odd.parquet"
    with pytest.raises(ValueError, match="none.parquet: no such file of soft labels"):
        soft_rows(SoftLabels(str(tmp_path / "none.parquet")), windows, *rows)
    with pytest.raises(ValueError, match="columns must be id, fold and this store's classes; look at 'b'"):
        soft_rows(changed(labels, path, lambda t: t.drop(columns="b")), windows, *rows)
    with pytest.raises(ValueError, match="ids must be the store's, got 'x'"):
        soft_rows(changed(labels, path, lambda t: t.assign(id="x")), windows, *rows)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\], got others for 'f"):
        soft_rows(changed(labels, path, lambda t: t.assign(b=np.nan)), windows, *rows)


def test_teachers_of_other_folds_or_data_are_refused(teachers, windows, tmp_path):
    other = train(TINY.but(name="other", folds__seed=7), windows, tmp_path, folds=(0,))
    with pytest.raises(LeakError, match="all runs must hold out the same rows, fold by fold, got others"):
        make_soft_labels([*teachers, other], windows, tmp_path)
    with pytest.raises(ValueError, match="empty: must be a run with finished folds, got none"):
        make_soft_labels([tmp_path / "empty"], windows, tmp_path)
    moved = replace(windows, folder=tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"fold0: was trained on other data \(store store0, not elsewhere\)"):
        unlabelled_probability(other / "fold0", moved)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"power": 0}, "power must be above 0, got 0"),
        ({"floor": 1.5}, r"floor must be in \[0, 1\], got 1.5"),
        ({"least": -0.1}, r"least must be in \[0, 1\], got -0.1"),
    ],
)
def test_a_bad_rule_is_refused(bad, told, teachers, windows, tmp_path):
    with pytest.raises(ValueError, match=told):
        make_soft_labels(teachers, windows, tmp_path, **bad)


def test_a_bad_part_is_refused():
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\), got 1.0"):
        SoftLabels("x", share=1.0)
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        SoftLabels("x", weight=-1.0)
    with pytest.raises(ValueError, match="loss must be for several labels a row with soft labels, got CrossEntropy"):
        Experiment(pseudo=SoftLabels("x"))
    with pytest.raises(ValueError, match="pseudo must be a PseudoLabels or SoftLabels, got Other"):
        Experiment(loss=BCE(), pseudo=Other())


@part
class Other:
    x: int = 0


CPU = SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=1)


def batches(pseudo, store, **changes):
    experiment = TINY.but(pseudo=pseudo, loop__batch_size=8, **changes)
    loader = train_loader(experiment, store, *split(store, 0), None, CPU)
    loader.dataset.set_epoch(0)
    loader.batch_sampler.set_epoch(0)
    return list(loader)


def test_a_batch_holds_labelled_rows_and_soft_ones_with_their_weight(labels, windows):
    part = SoftLabels(str(labels), share=0.25, weight=0.5)
    soft = soft_rows(part, windows, *split(windows, 0))
    target_of = dict(zip(soft.row.tolist(), soft.target, strict=True))
    for batch in batches(part, windows):
        is_soft = torch.tensor([row in target_of for row in batch.row.tolist()])
        assert is_soft.tolist() == [False] * (len(is_soft) - 2) + [True] * 2, "a quarter of 8"
        expected = np.stack([target_of[row] for row in batch.row[is_soft].tolist()])
        assert torch.equal(batch.target[is_soft], torch.from_numpy(expected))
        assert (batch.known[is_soft] == 0.5).all() and (batch.known[~is_soft] == 1).all()
        real = windows.targets(batch.row[~is_soft].numpy())
        assert batch.target[~is_soft].tolist() == real.tolist()
    assert all(batch.known is None for batch in batches(SoftLabels(str(labels)), windows)), "a weight of 1 is none"


def test_a_weight_is_that_of_a_half_of_a_mixture_and_of_a_pair_in_the_loss():
    """At λ = ¾ of a labelled item (1, 0) and a soft one (0.4, unknown) of weight ½. Item 0 has shares 0.75 and 0.125:
    (0.75 + 0.05) / 0.875, and 0 by 0.75; item 1 of 0.375 and 0.25: (0.15 + 0.25) / 0.625, and 0 by 0.25.
    """
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "input")
    target, counts = torch.tensor([[1.0, 0.0], [0.4, torch.nan]]), torch.tensor([[1.0, 1.0], [0.5, 0.5]])
    mixed, _, known = plan.mix_labels(target, torch.ones(2, 2), counts)
    assert known.flatten().tolist() == pytest.approx([0.875, 0.75, 0.625, 0.25])
    assert mixed.flatten().tolist() == pytest.approx([0.8 / 0.875, 0.0, 0.64, 0.0])
    batch = Batch(torch.zeros(2, 1, 1), None, torch.tensor([[1.0], [1.0]]), torch.zeros(2), known=counts[:, :1])
    loss = BCE()(torch.tensor([[0.0], [np.log(3)]]), batch)  # −ln ½ by 1 and −ln ¾ by ½
    assert loss.item() == pytest.approx((np.log(2) + 0.5 * np.log(4 / 3)) / 1.5)


def test_each_sort_of_pseudo_label_has_its_competitions(labels, windows):
    with pytest.raises(ValueError, match="pseudo must be SoftLabels or None where the competition has no boxes"):
        batches(PseudoLabels(str(labels)), windows)


def test_a_fold_learns_nothing_from_what_other_folds_teachers_say(labels, windows, tmp_path):
    """Nonsense in the place of fold 0's labels must change fold 0's net and leave fold 1's as it is."""
    key = held_out_key(windows.index["id"].iloc[split(windows, 0)[1]])
    changed(labels, tmp_path / "nonsense.parquet", lambda t: t.assign(a=np.where(t["fold"] == key, 1 - t["a"], t["a"])))
    nets = {}
    for name, path in (("right", labels), ("wrong", tmp_path / "nonsense.parquet")):
        run = train(TINY.but(name=name, pseudo=SoftLabels(str(path), by_confidence=False)), windows, tmp_path)
        nets[name] = [torch.load(run / f"fold{k}/best.pt", weights_only=True)["model"] for k in (0, 1)]
    pairs = zip(nets["right"], nets["wrong"], strict=True)
    same = [all(torch.equal(right[name], wrong[name]) for name in right) for right, wrong in pairs]
    assert same == [False, True]


def test_a_store_with_unlabelled_rows_serves_nets_that_were_trained_without(teachers, windows, tmp_path):
    """And one without them can't be labelled, which is told."""
    folder = shutil.copytree(teachers[0], tmp_path / "teacher") / "fold0"
    (folder / UNLABELLED).unlink()
    packed = replace(windows, folder=windows.folder.with_name(f"{windows.folder.name}+0123"))
    first = unlabelled_probability(teachers[0] / "fold0", windows)
    pd.testing.assert_frame_equal(unlabelled_probability(folder, packed), first)
    alone = replace(windows, index=windows.index[windows.index["split"] == "train"].reset_index(drop=True))
    with pytest.raises(
        ValueError, match=r"store0: must hold unlabelled rows .* pack\(competition, …, unlabelled=True\)"
    ):
        make_soft_labels(teachers, alone, tmp_path)
