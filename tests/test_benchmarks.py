import pytest
import torch

from kit.benchmarks import _table, report, run_benchmarks


def item(name, group, median, best, param=None, **extra):
    return {"name": name, "group": group, "param": param, "stats": {"median": median, "min": best}, "extra_info": extra}


def test_ratios_by_hand():
    table = _table(
        [item("test_batch_source", "batch", 0.030, 0.020), item("test_batch_kit", "batch", 0.002, 0.001),
         item("test_open_kit", "opening", 4.0, 3.0, memory=7), item("test_grow_kit[9]", "grow", 0.1, 0.1, param="9")]
    )  # fmt: skip
    assert table["work"].tolist() == ["batch", "opening", "grow, 9"]
    assert table.loc[0, ["peer (ms)", "kit (ms)", "ratio", "best"]].tolist() == pytest.approx([30, 2, 15, 20])
    assert table.loc[0, "beside"] == "source" and table.loc[1, "notes"] == "memory 7"
    assert table.loc[1:, "ratio"].isna().all()


def test_the_page_says_what_was_aimed_at_and_what_bounds_a_row():
    rows = [item("test_batch_source", "batch", 0.030, 0.020), item("test_batch_kit", "batch", 0.002, 0.001, reach=30)]
    rows[1]["extra_info"] |= {"bounded by": "a copy", "limit (ms)": 0.5}
    page = report(_table(rows), "python -m kit bench")
    assert "| batch | source | 30 | 2 | 15 | 20 | 30 | 0.5 | 4 |" in page and "- batch: a copy\n" in page
    assert page.startswith("`python -m kit bench`, 2")


def test_the_gap_to_a_ratio_that_is_known_to_be_the_best():
    """A row that could be three times its peer and is twice as fast takes 1.5 times as long as it could."""
    row = _table([item("test_a_source", "a", 0.6, 0.6), item("test_a_kit", "a", 0.3, 0.3, **{"at best": 3})]).iloc[0]
    assert row["limit (ms)"] == pytest.approx(200) and row["gap"] == pytest.approx(1.5)


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="--gpu needs a CUDA GPU"):
        run_benchmarks(gpu=True)
