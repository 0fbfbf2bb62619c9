"""Distillation by hand, and its way from a file to the loss."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.batch import Batch
from kit.data.mix_plan import MixPlan
from kit.experiment import Experiment
from kit.parts import make
from kit.training.distil import Distil, relation_distance, row_distance, teacher_of
from kit.training.finish import BaseSession
from kit.training.loader import train_loader
from kit.training.losses import BCE, CrossEntropy
from kit.training.pseudo import LeakError

NAN = math.nan
CPU = SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=1)


def batch_of(target, teacher, plan=None):
    teacher = None if teacher is None else torch.tensor(teacher)
    return Batch(torch.zeros(len(target), 1, 1), None, torch.tensor(target), torch.zeros(1), plan, teacher=teacher)


def only_teacher(loss, logits, batch):
    """What a Distil of weight 1 adds to its loss."""
    return (make(Distil("x", loss=loss))(logits, batch) - loss(logits, batch)).item()


def test_probabilities_of_several_labels_by_hand():
    """Logits of 0 and of ln 3, whose sigmoid is 0.75. Of a teacher's 0.2: −0.2 ln 0.5 − 0.8 ln 0.5 is ln 2; of its 1:
    −ln 0.75. NaN counts for nothing: (ln 2 + ln 4/3) / 2.
    """
    logits = torch.tensor([[0.0, math.log(3), 5.0]])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert only_teacher(BCE(), logits, batch_of([[0.0] * 3], [[0.2, 1.0, NAN]])) == pytest.approx(expected, abs=1e-6)
    assert only_teacher(BCE(), logits, batch_of([[0.0] * 3], [[NAN] * 3])) == 0


def test_probabilities_of_one_label_by_hand():
    """Logits (ln 3, 0) are 0.75 and 0.25: −0.5 ln 0.75 − 0.5 ln 0.25; a row without a teacher does not count."""
    logits, teacher = torch.tensor([[math.log(3), 0.0], [1.0, 2.0]]), torch.tensor([[0.5, 0.5], [NAN, NAN]])
    expected = -0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    assert row_distance(logits, teacher).item() == pytest.approx(expected)
    assert row_distance(logits, torch.full((2, 2), NAN)) == 0


def test_of_one_label_the_classes_that_a_teacher_knows_are_compared():
    """Of (ln 3, 0) and an unknown third, whatever its logit, 0.75 and 0.25; of a teacher's 0.6 and 0.2, ¾ and ¼."""
    logits = torch.tensor([[math.log(3), 0.0, 9.0], [1.0, 2.0, 3.0]], requires_grad=True)
    loss = row_distance(logits, torch.tensor([[0.6, 0.2, NAN], [NAN] * 3]))
    assert loss.item() == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    loss.backward()  # there both agree: no pull, and none on what nobody knows
    assert logits.grad.flatten().tolist() == pytest.approx([0.0] * 6, abs=1e-6)


def test_relations_by_hand():
    """Ours have cosines 0, 0 and 1 for pairs 01, 02 and 12; the teacher's, of other width and length, 1, 0 and 0."""
    ours = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    theirs = torch.tensor([[1.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    assert relation_distance(ours, theirs).item() == pytest.approx(2 / 3)
    assert relation_distance(ours, ours * 7).item() == pytest.approx(0, abs=1e-12)
    theirs[2] = NAN
    assert relation_distance(ours, theirs).item() == pytest.approx(1.0), "pair 01 alone is known"
    assert relation_distance(ours, torch.full((3, 2), NAN)) == 0


def test_the_loss_is_its_own_and_the_teachers():
    logits, batch = torch.tensor([[0.0, 1.0]]), batch_of([[1.0, 0.0]], [[0.2, 0.9]])
    own = BCE()(logits, batch)
    half = (make(Distil("x", weight=0.5))(logits, batch) - own).item()
    assert half == pytest.approx(only_teacher(BCE(), logits, batch) / 2, abs=1e-6)
    assert make(Distil("x"))(logits, batch._replace(teacher=None)) == own
    loss = make(Distil("x", of="embedding", weight=2.0))
    z, batch = torch.randn(3, 4), batch_of([[1.0]] * 3, np.random.default_rng(0).normal(size=(3, 2)).tolist())
    assert loss(torch.zeros(3, 1), batch) == BCE()(torch.zeros(3, 1), batch), "embeddings are not of the logits"
    assert loss.of_embedding(z, batch) == 2 * relation_distance(z, batch.teacher)
    assert make(Distil("x")).of_embedding(z, batch) == 0


def test_a_mixture_has_the_mixed_word_of_its_teachers():
    """Of 0.8 and 0.4 at λ = ¾ 0.7 and 0.5, whose cross-entropies at a logit of 0 are ln 2; at ln 3 −0.5 ln 0.1875."""
    plan, logits = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "input"), torch.tensor([[0.0], [math.log(3)]])
    batch = batch_of([[1.0], [0.0]], [[0.8], [0.4]], plan).mixed(1)
    expected = (math.log(2) - 0.5 * math.log(0.75) - 0.5 * math.log(0.25)) / 2
    assert only_teacher(BCE(), logits, batch) == pytest.approx(expected, abs=1e-6)
    united = replace(plan, labels="union")  # the maximum of both, 0.8
    batch = batch_of([[1.0], [0.0]], [[0.8], [0.4]], united).mixed(1)
    expected = (math.log(2) - 0.8 * math.log(0.75) - 0.2 * math.log(0.25)) / 2
    assert only_teacher(BCE(), logits, batch) == pytest.approx(expected, abs=1e-6)


def test_a_half_without_a_teacher_weighs_as_much_less():
    """Item 0 is ¾ of one at 0.8 and ¼ of one that the teacher does not know, item 1 the other way round."""
    plan, logits = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "input"), torch.tensor([[0.0], [math.log(3)]])
    batch = batch_of([[1.0], [0.0]], [[0.8], [NAN]], plan).mixed(1)
    expected = 0.75 * math.log(2) + 0.25 * (-0.8 * math.log(0.75) - 0.2 * math.log(0.25))
    assert only_teacher(BCE(), logits, batch) == pytest.approx(expected, abs=1e-6)


def test_a_loss_of_one_label_is_distilled_so_when_rows_are_mixed_too():
    """Of (0.9, 0.1) and (0.2, 0.8) at λ = ¾ (0.725, 0.275)."""
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "input")
    batch, logits = batch_of([0, 1], [[0.9, 0.1], [0.2, 0.8]], plan).mixed(2), torch.randn(2, 2)
    mixed = torch.tensor([[0.725, 0.275], [0.375, 0.625]])
    found = only_teacher(CrossEntropy(), logits, batch)
    assert found == pytest.approx(row_distance(logits, mixed).item(), abs=1e-6)


def test_relations_of_mixtures_are_those_of_mixed_embeddings():
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 2, 0]), "input")
    teacher, z = torch.randn(3, 4), torch.randn(3, 2)
    found = make(Distil("x", of="embedding")).of_embedding(z, batch_of([0, 1, 0], teacher.tolist(), plan))
    assert found.item() == pytest.approx(relation_distance(z, plan.apply(teacher)).item(), abs=1e-6)


@pytest.fixture
def files(store, tmp_path):
    """The word of a teacher on every training row but one, as all three sorts of file."""
    ids = store.index["id"].iloc[store.rows("train")].to_numpy()[1:]
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(len(store.classes)), len(ids)).astype(np.float32)
    table = pd.DataFrame(probability, columns=store.classes).assign(id=ids, label="x")
    table.to_parquet(tmp_path / "p.parquet")
    np.savez(tmp_path / "p.npz", id=ids.astype(str), probability=probability, classes=np.array(store.classes))
    np.savez(tmp_path / "e.npz", id=ids.astype(str), embedding=rng.normal(size=(len(ids), 5)))
    return tmp_path, ids, probability


def test_a_teachers_word_is_found_by_id(store, files):
    folder, ids, probability = files
    rows = store.rows("train")
    for name in ("p.parquet", "p.npz"):
        said = Distil(str(folder / name), outside=True).teacher(store, rows)(rows)
        assert torch.equal(said[1:], torch.from_numpy(probability)) and said[0].isnan().all()
    embedding = Distil(str(folder / "e.npz"), of="embedding", outside=True).teacher(store, rows)
    assert embedding(rows[1:]).shape == (len(ids), 5)
    few = pd.read_parquet(folder / "p.parquet")[["id", store.classes[1], "label"]]
    few.to_parquet(folder / "few.parquet")
    said = Distil(str(folder / "few.parquet"), outside=True).teacher(store, rows)(rows[1:])
    assert torch.equal(said[:, 1], torch.from_numpy(probability[:, 1])) and said[:, 0].isnan().all()
    assert teacher_of(BCE(), store, rows) is None


def test_batches_hold_the_teachers_word_and_a_net_learns_from_it(store, rows, tiny, files):
    """A step on batches with embeddings and one with probabilities changes weights otherwise than without."""
    from kit.training.fit import fit

    folder, ids, probability = files
    of_id = dict(zip(ids, torch.from_numpy(probability), strict=True))
    loss = Distil(str(folder / "p.npz"), loss=CrossEntropy(), outside=True)
    for batch in train_loader(tiny.but(loss=loss), store, *rows, None, CPU):
        for row, said in zip(batch.row.tolist(), batch.teacher, strict=True):
            name = store.index["id"].iat[row]
            assert torch.equal(said, of_id[name]) if name in of_id else said.isnan().all()
    small = tiny.but(loop__epochs=1, loop__epoch_steps=1)
    losses = (CrossEntropy(), loss, Distil(str(folder / "e.npz"), "embedding", 1.0, CrossEntropy(), True))
    logs = []
    for number, one in enumerate(losses):
        fit(small.but(loss=one), store, *rows, folder / f"fit{number}", progress=False)
        logs.append(pd.read_csv(folder / f"fit{number}/log.csv")["loss"].iat[-1])
    assert logs[1] > logs[0] + 0.1 and logs[2] > logs[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(id=[f"other{n}" for n in range(len(t))]), "must have ids of training rows, got 'other0'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "each id must be there once, got '.*' twice"),
        (lambda t: t.assign(id=t["id"], **{t.columns[0]: 1.5}), r"probabilities must be in \[0, 1\], got others for '"),
        (lambda t: t[["id"]].assign(q=0.5), "must have a column a class, got none of this competition's, but 'q'"),
        (lambda t: t.drop(columns="id"), r"must hold a teacher's probability by id \(KeyError: 'id'\)"),
    ],
)
def test_a_bad_parquet_is_refused(store, files, change, told):
    change(pd.read_parquet(files[0] / "p.parquet")).to_parquet(files[0] / "bad.parquet")
    with pytest.raises(ValueError, match=f"bad.parquet: {told}"):
        Distil(str(files[0] / "bad.parquet")).teacher(store, store.rows("train"))


def test_a_teacher_that_may_have_seen_held_out_labels_is_refused(store, files):
    folder, ids, _ = files
    rows = store.rows("train")
    told = "has ids of this competition's training rows; outside=True says that its teacher was not trained on them"
    for name, of in (("p.parquet", "probability"), ("p.npz", "probability"), ("e.npz", "embedding")):
        with pytest.raises(LeakError, match=rf"{name}: {told}"):
            Distil(str(folder / name), of).teacher(store, rows)
    pd.read_parquet(folder / "p.parquet").assign(fold=0).to_parquet(folder / "oof.parquet")
    with pytest.raises(LeakError, match="oof.parquet: has columns fold and label, as predictions of a run on"):
        Distil(str(folder / "oof.parquet"), outside=True).teacher(store, rows)


@pytest.mark.parametrize("change", ["one class", "nothing above 0"])
def test_a_teacher_that_says_nothing_of_one_label_is_refused(store, files, change):
    folder, ids, _ = files
    table = pd.read_parquet(folder / "p.parquet")
    nothing = dict.fromkeys(store.classes, 0.0)
    table = table[["id", store.classes[0]]] if change == "one class" else table.assign(**nothing)
    table.to_parquet(folder / "few.parquet")
    told = f"a row must have two known classes and one above 0, where a row has one label, got others for '{ids[0]}'"
    with pytest.raises(ValueError, match=f"few.parquet: {told}"):
        Distil(str(folder / "few.parquet"), loss=CrossEntropy(), outside=True).teacher(store, store.rows("train"))
    assert Distil(str(folder / "few.parquet"), outside=True).teacher(store, store.rows("train"))


def test_a_bad_npz_is_refused(store, files):
    folder, ids, _ = files
    rows = store.rows("train")
    with pytest.raises(ValueError, match=r"none.npz: must hold a teacher's embedding by id \(FileNotFoundError"):
        Distil(str(folder / "none.npz"), "embedding").teacher(store, rows)
    with pytest.raises(ValueError, match=r"p.npz: must hold a teacher's embedding by id \(KeyError"):
        Distil(str(folder / "p.npz"), "embedding").teacher(store, rows)
    np.savez(folder / "bad.npz", id=ids.astype(str), embedding=np.full((len(ids), 2), np.inf))
    with pytest.raises(ValueError, match="bad.npz: embeddings must be finite, got others for '"):
        Distil(str(folder / "bad.npz"), "embedding").teacher(store, rows)
    np.savez(folder / "bad.npz", id=ids.astype(str), embedding=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=rf"embedding must have a row an id, got {len(ids)} ids and shape \(3, 2\)"):
        Distil(str(folder / "bad.npz"), "embedding").teacher(store, rows)
    np.savez(folder / "bad.npz", id=np.array(["a", {}], dtype=object), embedding=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="bad.npz: must hold .* Object arrays cannot be loaded"):
        Distil(str(folder / "bad.npz"), "embedding").teacher(store, rows)


def plain(logits, batch):
    return logits.mean()


def test_a_bad_part_is_refused():
    with pytest.raises(ValueError, match="of must be one of probability, embedding, got 'logits'"):
        Distil("x", of="logits")
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        Distil("x", weight=-1.0)
    with pytest.raises(ValueError, match="loss must have a task, whose .* are distilled, and plain has none"):
        Distil("x", loss=plain)
    assert Distil("x", of="embedding", loss=plain).loss.target is plain
    with pytest.raises(ValueError, match="session must be None where probabilities of all classes are distilled"):
        Experiment(session=BaseSession(2), loss=Distil("x", loss=CrossEntropy()))


def test_a_losss_own_fields_are_asked_of_what_it_wraps():
    loss = Distil("x", loss=BCE(positive_weight=4.0, positive_decay=0.5))
    assert loss.task == "multi" and loss.positive_at(1) == 2.5
    assert Experiment(loss=replace(loss, weight=0.1)).loss.weight == 0.1
    assert not hasattr(Distil("x", of="embedding", loss=plain), "task")
