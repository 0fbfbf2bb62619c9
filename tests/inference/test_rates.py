"""How cores are filled, and that a measurement's seconds are those of a unit."""

from dataclasses import replace

import pytest

from kit.data.store import pack
from kit.inference import rates, serving
from kit.inference.clock import Clock
from kit.inference.course import Course, Options
from kit.inference.nets import fold_nets
from kit.inference.rates import candidates, default_split, fastest, unit_seconds
from kit.inference.serving import FoldServing, Split
from tests.inference.conftest import MEL


def test_cores_are_filled_by_the_threads_that_are_given_or_in_all_ways():
    assert candidates(4, 1) == [Split(1, 1), Split(4, 1)]
    assert candidates(4, 3) == [Split(1, 3)]
    assert candidates(2, 8) == [Split(1, 8)]
    assert candidates(4, None) == [Split(1, 4), Split(2, 2), Split(4, 1)]
    assert candidates(2, None) == [Split(1, 2), Split(2, 1)]
    assert candidates(1, None) == [Split(1, 1)]
    assert [str(Split(1, 4)), str(Split(2, 2))] == ["4 threads", "2 × 2 threads"]


@pytest.fixture
def fold(run_a, sounds, work):
    return FoldServing(fold_nets(run_a, [0])[0], pack(sounds, work / "cache", MEL, progress=False), n_rows=12)


def test_a_fold_is_predicted_with_the_threads_of_its_training(fold):
    assert default_split(fold, None) == Split(1, 1)
    assert default_split(fold, 3) == Split(1, 3)


def test_seconds_a_unit_by_hand(fold, monkeypatch):
    """Two ticks of 6 s over 12 rows, of which two can't be used, in three crops of 16 frames."""
    ticks = iter(range(0, 600, 6))
    monkeypatch.setattr(rates.time, "monotonic", lambda: float(next(ticks)))
    assert fold.units == 10 * 3 * 16
    assert unit_seconds(fold, Split(1, 1)) == pytest.approx(6 / 480)


def test_the_fastest_split_is_taken(fold, monkeypatch):
    seconds = {Split(1, 2): 3.0, Split(2, 1): 2.0}
    monkeypatch.setattr(rates, "unit_seconds", lambda _, split: seconds[split])
    assert fastest(fold, list(seconds)) == (Split(2, 1), 2.0)


def test_another_process_makes_the_same_serving_again(fold):
    again = serving._again(*fold.told)
    assert (again.net, again.way, again.n_rows, again.engine) == (fold.net, fold.way, 12, "torch")
    assert again.store.folder == fold.store.folder.resolve()
    (positions, probability), *_ = again.batches(again.serving.batches, 1)
    (expected_positions, expected), *_ = fold.batches(fold.serving.batches, 1)
    assert (positions == expected_positions).all() and (probability == expected).all()


@pytest.mark.parametrize(
    ("threads", "told"),
    [
        (None, ""),
        (1, ""),
        (3, "last bits may differ from training's: a-s0 fold 0 was trained with 1 threads"),
    ],
)
def test_it_is_told_where_the_last_bits_may_differ(run_a, sounds, tmp_path, capsys, threads, told):
    course = Course(fold_nets(run_a), sounds, Clock(), Options(tmp_path, threads=threads))
    course._tell_rounding()
    assert capsys.readouterr().out.strip() == told
    course.nets = [replace(course.nets[0], threads=None)]
    course._tell_rounding()
    assert "was trained with a GPU, or threads that it does not tell" in capsys.readouterr().out
