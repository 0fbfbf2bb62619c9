"""How cores are filled, and that a measurement's seconds are those of a unit."""

import multiprocessing
from dataclasses import replace

import pytest

from kit.inference import rates, serving
from kit.inference.clock import Clock
from kit.inference.course import Course, Options
from kit.inference.nets import fold_nets
from kit.inference.rates import candidates, default_split, fastest, unit_seconds
from kit.inference.serving import FoldServing, Split


def test_cores_are_filled_by_the_threads_that_are_given_or_in_all_ways():
    assert candidates(4, 1) == [Split(1, 1), Split(4, 1)]
    assert candidates(4, 3) == [Split(1, 3)]
    assert candidates(2, 8) == [Split(1, 8)]
    assert candidates(4, None) == [Split(1, 4), Split(2, 2), Split(4, 1)]
    assert candidates(2, None) == [Split(1, 2), Split(2, 1)]
    assert candidates(1, None) == [Split(1, 1)]
    assert [str(Split(1, 4)), str(Split(2, 2))] == ["4 threads", "2 × 2 threads"]


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
    monkeypatch.setattr(rates, "unit_seconds", lambda _, split, most: seconds[split])
    assert list(fastest(fold, list(seconds)).items()) == [(Split(2, 1), 2.0), (Split(1, 2), 3.0)]
    assert fastest(fold, list(seconds), most=0.0) == {}


def test_measuring_stops_at_its_share(fold, monkeypatch):
    """Ticks of 6 s: within 5 s the first batch alone is served, within 15 s one after it."""
    served, real = [], FoldServing.batches

    def counted(self, batches, threads):
        for positions, probability in real(self, [[at] for batch in batches for at in batch], threads):
            served.append(len(positions))
            yield positions, probability

    fold.serving.batches = [[at] for batch in fold.serving.batches for at in batch]  # ten, of one clip each
    monkeypatch.setattr(FoldServing, "batches", counted)
    for most, clips in ((5.0, 1), (12.0, 2), (18.0, 3)):
        ticks = iter(range(0, 600, 6))
        monkeypatch.setattr(rates.time, "monotonic", lambda ticks=ticks: float(next(ticks)))
        assert unit_seconds(fold, Split(1, 1), most) == pytest.approx(6 / 48)
        assert len(served) == clips
        served.clear()


def test_processes_that_are_not_done_in_their_share_are_not_chosen(fold, monkeypatch):
    def late(*_, timeout):
        assert timeout == pytest.approx(5.0, abs=0.5)

        def call(_):
            raise multiprocessing.TimeoutError  # as joblib does

        return call

    monkeypatch.setattr(rates.joblib, "Parallel", late)
    assert unit_seconds(fold, Split(2, 1), 5.0) == float("inf")


def test_a_way_to_fill_the_cores_is_chosen_once_for_all_runs(run_a, run_b, sounds, work, monkeypatch):
    from kit.inference import course as module

    tried = []

    def rates_of(serving, splits, most):
        tried.append(serving.net.run.name)
        return {split: 0.5 for split in splits}

    monkeypatch.setattr(module, "fastest", rates_of)
    monkeypatch.setattr(module, "unit_seconds", lambda *_: 1.0)
    monkeypatch.setattr(module.joblib, "cpu_count", lambda: 4)
    course = Course([*fold_nets(run_a), *fold_nets(run_b)], sounds, Clock(10), Options(work / "cache"))
    course._measure()
    assert tried == ["a-s0"] and set(course.splits.values()) == {Split(4, 1)}


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
