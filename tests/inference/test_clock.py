"""What fits into a time, by hand; and predictions under a clock, which leave a whole CSV whatever happens."""

import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest

from kit.inference import clock as clock_module
from kit.inference.clock import Clock, OutOfTime, Plan, lighter_ways, needed, plan, time_told
from kit.inference.course import Course
from kit.inference.predict import predict
from kit.results.check import read_submission
from kit.training.predict import Crops, WholeClip, Windows

# Three folds of 10 s, 6 s with fewer crops, 3 s with fewest; the first has 4 s of packing in it.
SECONDS = [[14.0, 10.0, 7.0], [10.0, 6.0, 3.0], [10.0, 6.0, 3.0]]


@pytest.mark.parametrize(
    ("left", "drop", "expected"),
    [
        (40.0, ("folds", "crops"), Plan(3, 0)),  # 34 of 36 s
        (30.0, ("folds", "crops"), Plan(2, 0)),  # 24 of 27
        (30.0, ("crops", "folds"), Plan(3, 1)),  # 22 of 27
        (16.0, ("folds", "crops"), Plan(1, 0)),  # 14 of 14.4
        (12.0, ("folds", "crops"), Plan(1, 1)),  # 10 of 10.8
        (12.0, ("crops", "folds"), Plan(2, 2)),  # 10 of 10.8
        (12.0, ("folds",), Plan(1, 0, 10.8 / 14)),
        (7.0, ("folds", "crops"), Plan(1, 2, 6.3 / 7)),
        (30.0, (), Plan(3, 0, 27 / 34)),
        (-1.0, ("folds", "crops"), Plan(1, 2, 0.0)),
    ],
)
def test_a_plan_takes_fewer_of_what_it_may_in_order(left, drop, expected):
    chosen = plan(SECONDS, left, drop)
    assert (chosen.jobs, chosen.lighter) == (expected.jobs, expected.lighter)
    assert chosen.share == pytest.approx(expected.share)


def test_a_later_plan_may_take_nothing_more():
    assert plan(SECONDS[1:], 1.0, ("folds", "crops"), least=0) == Plan(0)
    assert plan([], 1.0, least=0) == Plan(0)


def test_a_clock_without_minutes_allows_everything():
    assert plan(SECONDS, Clock().left()) == Plan(3)
    assert not Clock().is_set
    with Clock().alarm():
        pass


def test_the_seconds_of_a_plan_by_hand():
    assert needed(SECONDS, Plan(2, 1)) == 16.0
    assert needed([[5.0], [4.0, 2.0]], Plan(2, 1)) == 7.0  # the first has no lighter way


def test_a_clock_keeps_a_reserve(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    ten, short = Clock(10), Clock(0.1)
    assert ten.left() == pytest.approx(600 - 12)  # 2 % of ten minutes
    assert short.left() == pytest.approx(6 - 1)  # a second at least
    monkeypatch.setattr(time, "monotonic", lambda: 187.0)
    assert ten.left() == pytest.approx(600 - 12 - 87)


def test_an_alarm_ends_what_is_slow_and_leaves_none_behind():
    """0.2 s are left: a sleep of 30 s ends by then, and so does one in a place that swallows a first alarm."""
    clock = Clock((0.2 + clock_module.LEAST_RESERVE) / 60)
    started = time.monotonic()
    with pytest.raises(OutOfTime), clock.alarm():
        try:
            time.sleep(30)
        except OutOfTime:
            time.sleep(30)
    assert 0.2 <= time.monotonic() - started < 15
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    with pytest.raises(OutOfTime), clock.alarm():
        pytest.fail("begun without time")


def test_there_is_no_alarm_in_another_thread_or_beside_another_timer():
    clock, ended = Clock(0.001), []  # without time

    def work():
        with clock.alarm():
            ended.append("thread")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with clock.alarm():
            ended.append("timer")
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert ended == ["thread", "timer"]


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), float("inf")])
def test_minutes_must_be_above_0(minutes):
    with pytest.raises(ValueError, match=f"minutes must be above 0, got {minutes:g}"):
        Clock(minutes)


def test_ways_get_lighter_by_fewer_crops_and_windows():
    assert lighter_ways(Crops(3)) == [Crops(3), Crops(2), Crops(1)]
    assert lighter_ways(Windows(overlap=9)) == [Windows(overlap=9), Windows(overlap=4), Windows(overlap=0)]
    assert lighter_ways(WholeClip()) == [WholeClip()]
    assert lighter_ways(Windows()) == [Windows()]


def test_times_are_told_as_one_reads_them():
    assert [time_told(seconds) for seconds in (42.4, 90, 5399, 7560)] == ["42 s", "1.5 min", "90.0 min", "2.1 h"]


class Slow:
    """A clock whose seconds are those that the test says: each look takes `step`."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


def under_a_clock(run, sounds, out, monkeypatch, step, **options):
    monkeypatch.setattr(clock_module, "time", Slow(step))
    options = {"minutes": 1.0, "threads": 1, "progress": False, "cache": out.parent / "cache", **options}
    with pytest.warns(UserWarning) as told:
        table = predict(run, sounds, out=out, **options)
    read_submission(out, sounds)  # a whole CSV
    return table, [str(warning.message) for warning in told]


def test_with_time_enough_a_clock_changes_nothing(run_a, sounds, tmp_path, monkeypatch):
    table, told = under_a_clock(run_a, sounds, tmp_path / "s.csv", monkeypatch, 0.001)
    pd.testing.assert_frame_equal(table, run_a.test, check_exact=True)
    assert len(told) == 1 and "2 of 20 test rows got the class priors, such as 't3.wav'" in told[0]


def test_without_time_all_rows_hold_the_priors_and_are_counted(run_a, sounds, tmp_path, monkeypatch):
    table, told = under_a_clock(run_a, sounds, tmp_path / "s.csv", monkeypatch, 100.0)
    np.testing.assert_allclose(table.iloc[:, 1:], 1 / 3, atol=1e-7)
    assert "20 of 20 test rows got the class priors" in told[0] and "no time was left to predict it" in told[0]
    assert "2 of 2 folds were left out for time: a-s0 fold 0, a-s0 fold 1" in told[1]


def test_time_for_one_fold_gives_that_fold(run_a, sounds, tmp_path, monkeypatch):
    """The second fold's plan comes when 30 s are over; from then on no time is left."""
    real = Course._predict

    def slow(self, *arguments):
        result = real(self, *arguments)
        self.clock.started -= 60
        return result

    monkeypatch.setattr(Course, "_predict", slow)
    table, told = under_a_clock(run_a, sounds, tmp_path / "s.csv", monkeypatch, 0.001)
    first = pd.read_parquet(run_a.folder / "fold0/test.parquet")
    pd.testing.assert_frame_equal(table, first, check_exact=True)
    assert "1 of 2 folds were left out for time: a-s0 fold 1" in told[1]


def test_a_fold_that_time_cuts_short_leaves_its_other_rows_to_the_priors(run_a, sounds, tmp_path, monkeypatch):
    """Batches of one clip each; the limit passes in the middle of the first fold."""
    from kit.inference.serving import FoldServing

    real = FoldServing.batches

    def late(self, batches, threads):
        for number, served in enumerate(real(self, [[at] for batch in batches for at in batch], threads)):
            yield served
            if self.n_rows is None and number == 4:
                clock_module.time.now += 1000

    monkeypatch.setattr(FoldServing, "batches", late)
    table, told = under_a_clock(run_a, sounds, tmp_path / "s.csv", monkeypatch, 0.001)
    assert any("of 20 test rows got the class priors" in line and "no time was left" in line for line in told)
    first = pd.read_parquet(run_a.folder / "fold0/test.parquet")
    served = np.isclose(table.iloc[:, 1:], first.iloc[:, 1:], atol=1e-5).all(axis=1)
    assert 5 <= served.sum() <= 8  # five, or six where the next is under way, and the two that can't be used
    assert not list((tmp_path / "cache/predictions").glob("*"))  # part of a fold is not kept


def test_a_disk_that_fills_leaves_a_whole_csv_under_a_clock(run_a, sounds, tmp_path, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device", "cache/features.bin")

    monkeypatch.setattr("kit.inference.packing.Packing.step", full)
    table, told = under_a_clock(run_a, sounds, tmp_path / "s.csv", monkeypatch, 0.001)
    assert "stopped by an error" in told[0] and "No space left on device: 'cache/features.bin'" in told[0]
    assert "20 of 20 test rows got the class priors" in told[1] and "No space left" in told[1]
    assert "2 of 2 folds were left out after an error" in told[2]
    with pytest.raises(OSError, match="No space left"):
        predict(run_a, sounds, out=tmp_path / "none.csv", cache=tmp_path / "other", progress=False)
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize("error", [OSError(13, "Permission denied", "x"), RuntimeError("shapes differ")])
def test_an_error_of_another_kind_is_raised_under_a_clock_too(run_a, sounds, tmp_path, monkeypatch, error):
    def fails(self, *_):
        raise error

    monkeypatch.setattr(Course, "_predict", fails)
    with pytest.raises(type(error), match=str(error.args[-1] if len(error.args) == 1 else error.args[1])):
        predict(run_a, sounds, out=tmp_path / "s.csv", minutes=5.0, cache=tmp_path, progress=False)


def test_where_nothing_was_predicted_the_command_fails(run_a, sounds, tmp_path, monkeypatch, capsys):
    from kit.__main__ import main

    def fails(self, *_):
        raise MemoryError("no memory")

    monkeypatch.setattr(Course, "_predict", fails)
    out = tmp_path / "s.csv"
    options = ["--data", str(sounds.folder), "--out", str(out), "--minutes", "5", "--cache", str(tmp_path)]
    assert main(["predict", str(run_a.folder), *options]) == 1
    assert "no fold was predicted; " in capsys.readouterr().err
    read_submission(out, sounds)


def test_lists_of_numbers_are_told_by_example(capsys):
    from kit.__main__ import main

    for option, match in (
        ("--folds", "must be numbers such as 0,1, got 'a'"),
        ("--weights", "such as 0.3,0.7, got 'a'"),
    ):
        with pytest.raises(SystemExit):
            main(["predict", "run", "--data", "d", "--out", "o.csv", option, "a"])
        assert match in capsys.readouterr().err
