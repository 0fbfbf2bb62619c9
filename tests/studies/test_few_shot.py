import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.competition import open_competition
from kit.data.batches import generator_for
from kit.data.features import Wave
from kit.data.store import pack
from kit.demos.demo import make_keywords
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import Cosine
from kit.models.net import Net
from kit.studies.few_shot import (
    Protocol,
    draw_means,
    draw_prototypes,
    in_order,
    run_sessions,
    score_sessions,
    split_rows,
)
from kit.studies.prototypes import Recipe
from kit.training.finish import BaseSession
from kit.training.fit import fit
from kit.training.loop import Loop
from kit.training.predict import embed
from kit.training.views import LPCViews

NAMES = ("a", "b", "c", "d", "e", "f")
SMALL = Protocol(NAMES, n_base=2, sessions=2, ways=2, shots=3)


def at(*degrees):
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1)


def examples(n_each=7, n_classes=6, width=8, views=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(n_classes).repeat(n_each)
    centre = torch.randn(n_classes, 1, width, generator=generator)
    noise = torch.randn(len(target), views, width, generator=generator)
    return centre[target] + noise, target


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keywords")
    return open_competition(make_keywords(folder / "data", 4, n_speakers=5, n_takes=1, n_test_speakers=2))


@pytest.fixture(scope="module")
def store(keywords, tmp_path_factory):
    return pack(keywords, tmp_path_factory.mktemp("cache"), kind="wave", progress=False)


def test_a_protocol_counts_its_classes():
    assert [SMALL.n_seen(session) for session in range(3)] == [2, 4, 6]
    assert replace(SMALL, sessions=1).seen == ("a", "b", "c", "d")


@pytest.mark.parametrize("name", ["n_base", "sessions", "ways", "shots"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_protocols_numbers_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got {value}"):
        replace(SMALL, **{name: value})


def test_a_protocol_needs_the_classes_it_has():
    with pytest.raises(ValueError, match="sessions times ways must be at most the 4 classes left .*, got 3 x 2"):
        replace(SMALL, sessions=3)
    with pytest.raises(ValueError, match=r"n_base must be below the number of classes \(6\), got 6"):
        replace(SMALL, n_base=6)
    with pytest.raises(ValueError, match="classes must name each class once, got 'a' twice"):
        Protocol(("a", "b", "a"), 1, 1, 1)


def test_sessions_by_hand():
    """Base prototypes at 0° and 90°, new ones at 30°, 60° and then 200°, 300°."""
    prototypes, protocol = at(0, 90, 30, 60, 200, 300), SMALL
    z, target = at(5, 20, 80, 40, 70, 55, 190, 340), torch.tensor([0, 0, 1, 2, 1, 3, 4, 5])
    table = score_sessions(z, target, prototypes, protocol)
    # 0 and 90 alone: 5, 20 | 80, 70 all right. With 30 and 60: 20 goes to 30°, 70 to 60°; 40 and 55 are right: 4 of 6.
    # With 200 and 300: 340 lies nearer to 0° (20) than to 300° (40), 190 is right: 5 of 8.
    assert table["classes"].tolist() == [2, 4, 6]
    assert table["accuracy"].tolist() == pytest.approx([1.0, 4 / 6, 5 / 8])
    assert table["base"].tolist() == pytest.approx([1.0, 2 / 4, 2 / 4])
    assert math.isnan(table["new"][0]) and table["new"][1:].tolist() == pytest.approx([2 / 2, 3 / 4])


def test_rows_of_no_class_of_the_protocol_do_not_count():
    prototypes = at(0, 90, 30, 60, 200, 300)
    z, target = at(5, 80, 40, 55, 190, 310), torch.arange(6)
    more = torch.cat([z, at(10, 20)]), torch.cat([target, torch.tensor([-1, 7])])
    wanted = score_sessions(z, target, prototypes, SMALL)
    pd.testing.assert_frame_equal(score_sessions(*more, prototypes, SMALL), wanted)


def test_a_class_without_test_rows_is_named():
    with pytest.raises(ValueError, match="class 'd' must have at least 1 test row, got 0"):
        score_sessions(at(0, 1, 2, 3, 4), torch.tensor([0, 1, 2, 4, 5]), at(0, 90, 30, 60, 200, 300), SMALL)


def test_means_are_over_all_rows_of_base_classes_and_over_the_shots_of_new_ones():
    z, target = examples()
    means = draw_means(z, target, SMALL, generator_for(0, 1))
    assert means.shape == (3, 6, 8)
    for number in (0, 1):
        torch.testing.assert_close(means[:, number], z[target == number].mean(0))
    of_class = z[target == 3]
    sums = [of_class[[i, j, k]].mean(0) for i in range(7) for j in range(i) for k in range(j)]
    assert sum(torch.allclose(means[:, 3], mean, atol=1e-6) for mean in sums) == 1, "one set of three rows"


def test_speech_alone_gives_one_view():
    z, target = examples()
    together = draw_means(z, target, SMALL, generator_for(0, 1))
    torch.testing.assert_close(draw_means(z[:, 0], target, SMALL, generator_for(0, 1)), together[:1])


def test_a_draw_is_a_function_of_its_seed_and_number():
    z, target = examples()
    first = draw_prototypes(z, target, SMALL, Recipe(), seed=0, draw=0)
    assert torch.equal(first, draw_prototypes(z, target, SMALL, Recipe(), seed=0, draw=0))
    for seed, draw in ((0, 1), (1, 0)):
        other = draw_prototypes(z, target, SMALL, Recipe(), seed=seed, draw=draw)
        assert torch.equal(other[:2], first[:2]) and not torch.allclose(other[2:], first[2:])


def test_fewer_sessions_or_shots_are_a_part_of_the_same_draw():
    z, target = examples()
    whole = draw_means(z, target, SMALL, generator_for(0))
    torch.testing.assert_close(draw_means(z, target, replace(SMALL, sessions=1), generator_for(0)), whole[:, :4])
    one, two = (draw_means(z, target, replace(SMALL, shots=n), generator_for(0))[0, 2] for n in (1, 2))
    second = 2 * two - one
    assert any(torch.allclose(second, row, atol=1e-5) for row in z[target == 2][:, 0]), "the first shot is one of two"


def test_a_class_with_too_few_rows_is_named():
    z, target = examples()
    with pytest.raises(ValueError, match=r"shots must be at most the rows of each class \(c: 7\), got 8"):
        draw_means(z, target, replace(SMALL, shots=8), generator_for(0))
    with pytest.raises(ValueError, match="base class 'b' must have at least 1 row, got 0"):
        draw_means(z[target != 1], target[target != 1], SMALL, generator_for(0))


def test_classes_in_another_order_within_the_base_and_the_sessions_change_nothing():
    """With every row a shot there is nothing to draw, and only the classes' numbers differ."""
    protocol = replace(SMALL, shots=7)
    (z, target), (test_z, test_target) = examples(), examples(seed=1)
    recipes = [Recipe(), Recipe("both", 0.1, 0.1, 0.5)]
    renamed = torch.tensor([1, 0, 3, 2, 5, 4])
    found = run_sessions((z, target), (test_z[:, 0], test_target), protocol, recipes, 1)
    other = run_sessions((z, renamed[target]), (test_z[:, 0], renamed[test_target]), protocol, recipes, 1)
    assert found["accuracy"].nunique() > 1
    pd.testing.assert_frame_equal(found, other)


def test_all_recipes_see_the_same_draws():
    (z, target), (test_z, test_target) = examples(), examples(seed=1)
    test = test_z[:, 0], test_target
    recipes = [Recipe("one"), Recipe("other", calibration=0.5), Recipe("again")]
    table = run_sessions((z, target), test, SMALL, recipes, n_draws=4, seed=3)
    assert list(table.columns) == ["recipe", "draw", "session", "classes", "accuracy", "base", "new"]
    assert len(table) == 3 * 4 * 3
    one, again = (
        table[table["recipe"] == name].drop(columns="recipe").reset_index(drop=True) for name in ("one", "again")
    )
    pd.testing.assert_frame_equal(one, again)
    assert one.loc[one["session"] == 2, "accuracy"].nunique() > 1
    prototypes = draw_prototypes(z, target, SMALL, recipes[1], seed=3, draw=2)
    wanted = score_sessions(*test, prototypes, SMALL)
    found = table[(table["recipe"] == "other") & (table["draw"] == 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[wanted.columns], wanted)
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        run_sessions((z, target), test, SMALL, recipes, n_draws=0)


def test_a_store_in_order_renumbers_and_leaves_out(keywords, store):
    first, second, third, fourth = store.classes
    found = in_order(store, [third, first], keywords.solution())
    assert found.classes == (third, first) and found.features is store.features
    index = found.index
    assert (index.loc[index["label"] == third, "target"] == 0).all()
    assert (index.loc[index["label"] == first, "target"] == 1).all()
    assert (index.loc[index["label"].isin([second, fourth]), "target"] == -1).all()
    test = index[index["split"] == "test"].set_index("id")["label"]
    assert test.to_dict() == keywords.solution().set_index("id")["label"].to_dict()
    assert (in_order(store, [first]).index.query("split == 'test'")["target"] == -1).all()
    assert store.index["target"].nunique() == 5, "the store itself is as it was"
    with pytest.raises(ValueError, match="classes must be among the store's, got 'nobody'"):
        in_order(store, [first, "nobody"])


def test_a_split_takes_the_test_part_where_its_labels_are_there(keywords, store):
    split = split_rows(in_order(store, store.classes, keywords.solution()))
    assert sorted(split.test) == sorted(store.rows("test")) and split.clusters is None
    assert sorted([*split.train, *split.valid]) == sorted(store.rows("train"))
    groups = store.index["group"].to_numpy()
    assert not set(groups[split.train]) & set(groups[split.valid])


def test_a_split_without_labels_holds_speakers_out(store):
    split = split_rows(store)
    assert sorted([*split.train, *split.valid, *split.test]) == sorted(store.rows("train"))
    groups = store.index["group"].to_numpy()
    parts = [set(groups[rows]) for rows in (split.train, split.valid, split.test)]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 5
    assert split.clusters.tolist() == groups[split.test].tolist()
    same, other = split_rows(store), split_rows(store, seed=1)
    assert np.array_equal(same.train, split.train) and not np.array_equal(other.train, split.train)


def test_a_split_leaves_out_the_classes_that_do_not_come(keywords, store):
    two = in_order(store, store.classes[:2], keywords.solution())
    split = split_rows(two)
    kept = np.concatenate([split.train, split.valid, split.test])
    assert sorted(kept) == np.flatnonzero(two.index["target"] >= 0).tolist()
    assert set(two.index["label"].iloc[kept]) == set(store.classes[:2])


@pytest.mark.parametrize("views", [None, LPCViews()])
def test_any_base_net_gives_the_sessions_their_views(views, keywords, store, tmp_path):
    """From the kit's own training on base classes to a table; the net never saw the others' logits or rows."""
    ordered = in_order(store, store.classes, keywords.solution())
    protocol = Protocol(store.classes, n_base=2, sessions=2, ways=1, shots=2)
    split, target = split_rows(ordered), torch.tensor(ordered.index["target"].to_numpy())
    base = [rows[target[rows].numpy() < 2] for rows in (split.train, split.valid)]
    experiment = Experiment(
        features=Wave(), crop_frames=24, loop=Loop(epochs=1, batch_size=4), session=BaseSession(2), views=views,
        net=Net(Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5), head=Cosine()),
    )  # fmt: skip
    fitted = fit(experiment, ordered, *base, tmp_path, progress=False)
    z, test = (
        torch.tensor(embed(fitted.model, ordered, rows, experiment.but(views=LPCViews()), fitted.accelerator))
        for rows in (split.train, split.test)
    )
    assert z.shape == (len(split.train), 3, 16)
    recipes = [Recipe("plain"), Recipe("all", 0.2, 0.2, 0.5)]
    table = run_sessions((z, target[split.train]), (test[:, 0], target[split.test]), protocol, recipes, 2)
    assert table["accuracy"].between(0, 1).all() and table["classes"].unique().tolist() == [2, 3, 4]
