from dataclasses import replace

import numpy as np
import pytest
import torch

from kit.data.batches import generator_for
from kit.studies.prototypes import Recipe
from kit.studies.session_draws import (
    Embedded,
    Method,
    draw_means,
    draw_prototypes,
    predict_sessions,
    run_methods,
)
from kit.studies.session_protocol import Protocol, Split

SMALL = Protocol(("a", "b", "c", "d", "e", "f"), n_base=2, sessions=2, ways=2, shots=3)


def at(*degrees):
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1)


def examples(n_each=7, n_classes=6, width=8, views=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(n_classes).repeat(n_each)
    centre = torch.randn(n_classes, 1, width, generator=generator)
    noise = torch.randn(len(target), views, width, generator=generator)
    return centre[target] + noise, target


def world(n_splits=1, seeds=(0,), target=None):
    """Embeddings of a net "n" over 84 rows: of each split 42 that train and 42 that are scored, by another split."""
    z, half = examples()
    target = np.tile(half.numpy() if target is None else target, 2)
    train, test = np.arange(42), np.arange(42, 84)
    splits = [Split(train, train[:0], test, test % 5, "t"), Split(test, test[:0], train, train % 5, "t")][:n_splits]
    nets = [
        Embedded("n", part, seed, z + 0.1 * seed, examples(seed=1 + part + 10 * seed)[0][:, 0])
        for part in range(n_splits) for seed in seeds
    ]  # fmt: skip
    return nets, splits, target


def test_nearest_prototypes_by_hand():
    """Base prototypes at 0° and 90°, new ones at 30°, 60° and then 200°, 300°."""
    found = predict_sessions(at(5, 20, 80, 40, 70, 55, 190, 340), at(0, 90, 30, 60, 200, 300), SMALL)
    assert found[:, 0].tolist() == [0, 0, 1, 0, 1, 1, 1, 0]
    assert found[:, 1].tolist() == [0, 2, 1, 2, 3, 3, 1, 0]
    assert found[:, 2].tolist() == [0, 2, 1, 2, 3, 3, 4, 0]


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
    torch.testing.assert_close(draw_means(z[:, :1], target, SMALL, generator_for(0, 1)), together[:1])


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


def test_a_draw_is_a_function_of_its_seed_and_number():
    (net,), (split,), target = world()
    known = target[split.train]
    first = draw_prototypes(net, known, SMALL, Recipe(), seed=0, draw=0)
    assert torch.equal(first, draw_prototypes(net, known, SMALL, Recipe(), seed=0, draw=0))
    for seed, draw in ((0, 1), (1, 0)):
        other = draw_prototypes(net, known, SMALL, Recipe(), seed=seed, draw=draw)
        assert torch.equal(other[:2], first[:2]) and not torch.allclose(other[2:], first[2:])


def test_all_methods_see_the_same_draws_and_each_is_what_it_is_alone():
    nets, splits, target = world(seeds=(0, 4))
    methods = [Method("one", "n"), Method("other", "n", Recipe(calibration=0.5)), Method("again", "n")]
    found = run_methods(methods, nets, splits, target, SMALL, n_draws=4, seed=3)
    assert found.predicted["one"].shape == (2, 4, 42, 3)
    assert np.array_equal(found.predicted["one"], found.predicted["again"])
    assert not np.array_equal(found.predicted["one"], found.predicted["other"])
    prototypes = draw_prototypes(nets[1], target[:42], SMALL, methods[1].recipe, seed=3, draw=2)
    assert np.array_equal(found.predicted["other"][1, 2], predict_sessions(nets[1].test, prototypes, SMALL))
    assert np.array_equal(found.right("one"), found.predicted["one"] == found.target[:, None])
    assert found.clusters.tolist() == (np.arange(42, 84) % 5).tolist()


def test_splits_are_put_end_to_end_each_by_its_own_net():
    nets, splits, target = world(n_splits=2)
    found = run_methods([Method("one", "n")], nets, splits, target, SMALL, n_draws=2)
    assert found.rows.tolist() == [*range(42, 84), *range(42)] and found.predicted["one"].shape == (1, 2, 84, 3)
    alone = run_methods([Method("one", "n")], nets, splits[:1], target, SMALL, n_draws=2)
    assert np.array_equal(found.predicted["one"][:, :, :42], alone.predicted["one"])


def test_bad_arguments_are_named():
    nets, splits, target = world()
    with pytest.raises(ValueError, match="net 'x' of method 'm' must be there for each split and seed"):
        run_methods([Method("m", "x")], nets, splits, target, SMALL)
    with pytest.raises(ValueError, match="net 'n' of method 'm' must be there for each split and seed"):
        run_methods([Method("m", "n")], nets, world(n_splits=2)[1], target, SMALL)
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        run_methods([Method("m", "n")], nets, splits, target, SMALL, n_draws=0)
    with pytest.raises(ValueError, match="class 'd' must have at least 1 test row, got 0"):
        run_methods([Method("m", "n")], nets, splits, np.where(target == 3, 2, target), SMALL)
    with pytest.raises(ValueError, match="method must be one of m, got 'n'"):
        run_methods([Method("m", "n")], nets, splits, target, SMALL, n_draws=1).right("n")
