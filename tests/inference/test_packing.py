"""The test part packed by shares is the store that it would be packed whole, and a clock may stop it anywhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.data.store import pack
from kit.inference import packing as packing_module
from kit.inference.packing import NO_TIME, Packing, packed_before, without_training
from kit.inference.predict import predict
from tests.inference.conftest import MEL, NAMES


@pytest.fixture
def small_shares(monkeypatch):
    monkeypatch.setattr(packing_module, "FIRST_FILES", 3)
    monkeypatch.setattr(packing_module, "MOST_FILES", 6)


def packed(competition, cache):
    packing = Packing(competition, MEL, cache, True, progress=False)
    while packing.left:
        packing.step()
    return packing.store()


def test_shares_joined_are_the_store_packed_whole(sounds, tmp_path, small_shares):
    whole = pack(without_training(sounds), tmp_path / "whole", MEL, progress=False)
    packing = Packing(sounds, MEL, tmp_path / "shares", True, progress=False)
    assert [len(rows) for rows in packing.rows] == [3, 6, 6, 5]
    joined = packed(sounds, tmp_path / "shares")
    assert joined.folder.name == whole.folder.name
    pd.testing.assert_frame_equal(joined.index, whole.index)
    assert (joined.folder / "features.bin").read_bytes() == (whole.folder / "features.bin").read_bytes()
    assert [path.name for path in (tmp_path / "shares").iterdir()] == [joined.folder.name]  # the shares are gone
    assert pack(without_training(sounds), tmp_path / "shares", MEL, progress=False).folder == joined.folder


def test_what_is_packed_is_not_packed_again(sounds, tmp_path, small_shares):
    first = Packing(sounds, MEL, tmp_path, True, progress=False)
    first.step()
    first.step()
    assert first.left == 11
    share = sorted(tmp_path.iterdir())
    times = {path: (path / "features.bin").stat().st_mtime_ns for path in share}
    second = Packing(sounds, MEL, tmp_path, True, progress=False)
    second.step()
    second.step()
    assert {path: (path / "features.bin").stat().st_mtime_ns for path in share} == times


def test_rows_without_time_have_a_fault_in_their_own_places(sounds, tmp_path, small_shares):
    whole = pack(without_training(sounds), tmp_path / "whole", MEL, progress=False)
    packing = Packing(sounds, MEL, tmp_path / "part", True, progress=False)
    packing.step()
    packing.step()
    part = packing.store()
    assert part.index["id"].tolist() == whole.index["id"].tolist()
    assert part.index["fault"].tolist()[9:] == [NO_TIME] * 11 and (part.index["frames"][9:] == 0).all()
    pd.testing.assert_frame_equal(part.index[:9], whole.index[:9])
    assert not (tmp_path / "part" / whole.folder.name).exists()  # a part is not taken for the whole
    assert packed(sounds, tmp_path / "part").folder.name == whole.folder.name


def test_rows_of_one_file_are_packed_together(sounds, tmp_path, small_shares):
    """Two halves of each of four recordings: a recording's rows are in one share, whatever their order."""
    files = [f"t{number}.wav" for number in (0, 1, 2, 4)]
    rows = sounds.test.set_index("id").loc[files].reset_index()
    halves = [rows.assign(id=rows["id"] + f"_{half}", start_seconds=0.2 * half, end_seconds=0.2 * (half + 1))
              for half in (0, 1)]  # fmt: skip
    cut = replace(sounds, test=pd.concat(halves, ignore_index=True))
    assert [rows.tolist() for rows in Packing(cut, MEL, tmp_path, True, progress=False).rows] == [
        [0, 1, 2, 4, 5, 6],
        [3, 7],
    ]
    joined = packed(cut, tmp_path)
    whole = pack(without_training(cut), tmp_path / "whole", MEL, progress=False)
    pd.testing.assert_frame_equal(joined.index, whole.index)


def test_a_runs_own_store_is_used_for_its_own_folder_alone(run_a, sounds, voices, work, tmp_path):
    name = next(path.parent.name for path in (work / "cache").glob("*/store.json"))
    assert packed_before(sounds, MEL, work / "cache", name).folder.name == name
    assert packed_before(sounds, MEL, tmp_path, name) is None
    assert packed_before(sounds, MEL, work / "cache", "") is None
    fewer = replace(sounds, test=sounds.test[:5])
    assert packed_before(fewer, MEL, work / "cache", name) is None


def test_without_any_usable_row_all_hold_the_priors(run_a, sounds, tmp_path):
    none = replace(sounds, test=sounds.test.assign(fault="the folder is empty until the rerun"))
    told = "20 of 20 test rows got the class priors, such as 't0.wav': 20 × the folder is empty"
    for minutes in (None, 5):
        with pytest.warns(UserWarning, match=told):
            table = predict(run_a, none, cache=tmp_path, minutes=minutes, progress=False)
        np.testing.assert_allclose(table[list(NAMES)], 1 / 3, atol=1e-7)


def test_training_audio_need_not_be_there(run_a, sounds, tmp_path):
    """What is packed are test files alone; that a table names the others is the layout's business."""
    gone = replace(sounds, train=sounds.train.assign(path="train/gone.wav", audio="train/gone.wav"))
    with pytest.warns(UserWarning, match="2 of 20"):
        table = predict(run_a, gone, cache=tmp_path, threads=1, progress=False)
    pd.testing.assert_frame_equal(table, run_a.test, check_exact=True)


def test_a_share_of_another_width_is_refused(sounds, tmp_path, small_shares):
    packing = Packing(sounds, MEL, tmp_path, True, progress=False)
    packing.step()
    packing.step()
    header = packing.shares[1] / "store.json"
    header.write_text(header.read_text().replace('"width": 16', '"width": 8'))
    with pytest.raises(ValueError, match="must be float16 of width 16 in all test files, got float16 of width 8"):
        packing.store()
