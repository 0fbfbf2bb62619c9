from dataclasses import replace

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.data.store import pack
from kit.demos.demo import make_keywords
from kit.studies.session_protocol import Protocol, half_and_half, in_order, split_rows

SMALL = Protocol(("a", "b", "c", "d", "e", "f"), n_base=2, sessions=2, ways=2, shots=3)


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keywords")
    return open_competition(make_keywords(folder / "data", 4, n_speakers=6, n_takes=1, n_test_speakers=2))


@pytest.fixture(scope="module")
def store(keywords, tmp_path_factory):
    return pack(keywords, tmp_path_factory.mktemp("cache"), kind="wave", progress=False)


def test_a_protocol_counts_its_classes():
    assert [SMALL.n_seen(session) for session in range(3)] == [2, 4, 6]
    assert replace(SMALL, sessions=1).seen == ("a", "b", "c", "d")
    assert SMALL.entered([0, 1, 2, 3, 4, 5]).tolist() == [0, 0, 1, 1, 2, 2]


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


def test_half_of_the_classes_are_the_base_in_a_drawn_order():
    names = [f"w{number:02d}" for number in range(11)]
    protocol = half_and_half(names, seed=0)
    assert sorted(protocol.classes) == names and list(protocol.classes) != names
    assert (protocol.n_base, protocol.sessions, protocol.ways) == (5, 4, 1)  # six are left, four of them come
    assert half_and_half(names, seed=0) == protocol != half_and_half(names, seed=1)
    few = half_and_half(["a", "b"], seed=0, shots=1)
    assert (few.n_base, few.sessions, few.ways, few.shots) == (1, 1, 1, 1)


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
    (split,) = split_rows(in_order(store, store.classes, keywords.solution()))
    assert sorted(split.test) == sorted(store.rows("test")) and split.clusters is None
    assert sorted([*split.train, *split.valid]) == sorted(store.rows("train"))
    groups = store.index["group"].to_numpy()
    assert not set(groups[split.train]) & set(groups[split.valid])


def test_splits_without_labels_score_every_row_once_and_part_the_speakers(store):
    splits = split_rows(store)
    assert sorted(np.concatenate([split.test for split in splits])) == sorted(store.rows("train"))
    groups = store.index["group"].to_numpy()
    for split in splits:
        assert sorted([*split.train, *split.valid, *split.test]) == sorted(store.rows("train"))
        parts = [set(groups[rows]) for rows in (split.train, split.valid, split.test)]
        assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 6
        assert split.clusters.tolist() == groups[split.test].tolist()
    same, other = split_rows(store), split_rows(store, seed=1)
    assert np.array_equal(same[0].train, splits[0].train) and not np.array_equal(other[0].train, splits[0].train)


def test_a_split_leaves_out_the_classes_that_do_not_come(keywords, store):
    two = in_order(store, store.classes[:2], keywords.solution())
    (split,) = split_rows(two)
    kept = np.concatenate([split.train, split.valid, split.test])
    assert sorted(kept) == np.flatnonzero(two.index["target"] >= 0).tolist()
    assert set(two.index["label"].iloc[kept]) == set(store.classes[:2])
