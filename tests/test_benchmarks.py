from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from kit.benchmarks import BOUND, COLUMNS, _row, report, run_benchmarks
from tests.bench.turns import Bound, products, take_turns


def item(group, median, best, param=None, **extra):
    return {"group": group, "param": param, "stats": {"median": median, "min": best}, "extra_info": extra}


def test_a_row_by_hand():
    row = _row(item("batch", 0.002, 0.001, beside="source", peer={"median": 0.030, "min": 0.020}, reach=30))
    assert [row[name] for name in ("work", "beside", "reach", "notes")] == ["batch", "source", 30, None]
    assert [row[name] for name in ("peer (ms)", "kit (ms)", "ratio", "best")] == pytest.approx([30, 2, 15, 20])


def test_a_row_without_a_peer_and_one_of_a_parameter():
    row = _row(item("opening", 4.0, 3.0, memory=7, **{"limit (ms)": 1000}))
    assert (row["notes"], row["gap"], row["beside"]) == ("memory 7", 4.0, None) and "ratio" not in row
    assert _row(item("grow", 0.1, 0.1, param="9"))["work"] == "grow, 9"


def test_the_page_says_what_was_aimed_at_and_what_bounds_a_row():
    peer = {"median": 0.030, "min": 0.020}
    row = item("batch", 0.002, 0.001, beside="source", peer=peer, reach=30, **{BOUND: "a copy", "limit (ms)": 0.5})
    page = report(pd.DataFrame([_row(row)], columns=[*COLUMNS, BOUND]), "python -m kit bench")
    assert "| batch | source | 30 | 2 | 15 | 20 | 30 | 0.5 | 4 |" in page and "- batch: a copy\n" in page
    assert page.startswith("`python -m kit bench`, 2")


def test_all_ways_take_turns(monkeypatch):
    """Two rounds each in three turns, and in one before them that does not count."""
    clock, order = [0.0], []

    def way(name, seconds):
        def once():
            order.append(name)
            clock[0] += next(seconds)

        return once

    def pedantic(once, setup, rounds, warmup_rounds):
        for _ in range(warmup_rounds + rounds):
            setup()
            once()

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    benchmark = SimpleNamespace(pedantic=pedantic, extra_info={})
    source = way("source", iter([90, 90, 3, 4, 5, 6, 7, 8]))
    bound = Bound("a copy", way("limit", iter([90, 90, 1, 1, 2, 2, 2, 2])), 2)
    take_turns(benchmark, way("kit", iter([1] * 8)), bound, turns=3, rounds=2, reach=4, source=source)
    assert order == ["source", "source", "limit", "limit", "kit", "kit"] * 4
    found = {"beside": "source", "peer": {"median": 5.5, "min": 3.0}, BOUND: "a copy", "reach": 4, "limit (ms)": 4000.0}
    assert benchmark.extra_info == found
    order.clear()
    three = way("source", iter([6] * 2))
    take_turns(benchmark, way("kit", iter([1] * 2)), Bound("three of the source's", three, 3), turns=1, source=three)
    assert order == ["source", "kit"] * 2 and benchmark.extra_info["limit (ms)"] == 18000


def test_a_limit_of_products_counts_them():
    """A product of (2, 3) and (3, 5) has 2 × 30 operations, of 2 × 1024³ in the one that is timed."""
    bound = products("a product", lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    assert (bound.what, bound.scale) == ("a product", 30 / 1024**3) and bound.way().shape == (1024, 1024)


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="--gpu needs a CUDA GPU"):
        run_benchmarks(gpu=True)
