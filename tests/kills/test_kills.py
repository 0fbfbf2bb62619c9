"""SIGKILL at random moments: what goes on afterwards ends with the bits of what was never killed."""

import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from kit.data.audio import MelSpec
from kit.results.ledger import add_row, read_ledger
from kit.training.config import Config

ORDINARY = {"pack": 2, "train": 2, "grid": 2, "pseudo": 1}  # and one of the ledger's
NIGHTLY = {"pack": 14, "pack waves": 8, "train": 12, "grid": 10, "grid of loky's": 4, "pseudo": 10}  # and eight
RESUMES = ("train", "grid", "grid of loky's")  # a second kill comes in what the first left to do
TRIES = 3  # for each kill: one by the clock may come too late on a machine that just got faster

TINY = Config(
    name="tiny", segment_frames=24, width=16, layers=1, heads=2, ff_width=32, kernel_size=5, pooling="attention",
    head="am_softmax", epochs=4, batch_size=8, warmup_steps=4, n_folds=2, lr=5e-3, ema_decay=0.9, mix="manifold",
)  # fmt: skip
FOREST = Config(
    name="teacher", mel=MelSpec(32000, 64, 0.04, 0.04, 300, 14000), segment_frames=64, backbone="timm", head="sed",
    timm_name="test_byobnet", timm_frequency="stack", loss="bce", n_folds=2, epochs=1, epoch_steps=2, batch_size=4,
    warmup_steps=1, eval_windows="max", eval_overlap=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def packed(forker, voices_folder, tmp_path_factory):
    """A cache that holds the voices."""
    cache = tmp_path_factory.mktemp("cache")
    forker.run({"what": "pack", "given": {"data": str(voices_folder), "kind": "mel"}, "root": str(cache)})
    return cache


@pytest.fixture(scope="module")
def taught(forker, rainforest_folder, tmp_path_factory):
    """What a round of pseudo labels is made of: two runs and the store."""
    work = tmp_path_factory.mktemp("forest")
    configs = [replace(FOREST, name=f"t{seed}", seed=seed).to_dict() for seed in (0, 1)]
    given = {
        "data": str(rainforest_folder),
        "configs": configs,
        "cache": work / "cache",
        "backend": None,
        "folds": None,
    }
    forker.run({"what": "grid", "given": given, "root": str(work / "runs")})
    (store,) = (work / "cache").iterdir()
    return {"runs": [work / "runs/t0-s0", work / "runs/t1-s1"], "store": store}


@pytest.fixture
def task(request, voices_folder, step):
    """What the step does, in a folder yet to be named."""
    data, what = str(voices_folder), step.split()[0]
    if what == "pack":
        return {"what": what, "given": {"data": data, "kind": "wave" if "waves" in step else "mel"}}
    if what == "pseudo":
        return {"what": what, "given": request.getfixturevalue("taught")}
    given = {"data": data, "cache": request.getfixturevalue("packed"), "folds": (0,), "backend": None}
    if what == "train":
        return {"what": "grid", "given": {**given, "configs": [TINY.to_dict()]}}
    configs = [TINY.to_dict(), replace(TINY, name="other", mix="none", ema_decay=0.0).to_dict()]
    backend = "loky" if "loky" in step else "multiprocessing"  # which forks, and so costs no import
    return {"what": "grid", "given": {**given, "configs": configs, "folds": None, "backend": backend}}


def moment(rng: random.Random, left: float, whole: dict, by_clock: bool) -> tuple[dict, float]:
    """A moment in the share of the work that is left, and the share that is left after it."""
    share = left * rng.uniform(0.02, 0.95)
    if by_clock:
        return {"kill_after": share * whole["seconds"]}, left - share
    return {"die_at": 1 + int(share * whole["operations"])}, left - share


@pytest.mark.parametrize(
    ("step", "kills"),
    [*ORDINARY.items(), *(pytest.param(*item, marks=pytest.mark.nightly) for item in NIGHTLY.items())],
)
def test_the_bits_are_those_of_what_was_never_killed(forker, task, step, kills, tmp_path):
    """Killed twice in a row, by the clock and at a file operation, where a file is most at risk; then let end."""
    rng = random.Random(zlib.crc32(f"{step} {kills}".encode()))
    whole = forker.run({**task, "root": str(tmp_path / "whole")})
    wanted = forker.bits(tmp_path / "whole")
    assert wanted
    landed = number = 0
    while landed < kills:
        number += 1
        assert number <= TRIES * kills, f"{landed} of {kills} kills came before the end"
        root, left = tmp_path / str(number), 1.0
        for by_clock in (number % 2 == 0, number % 2 == 1)[: kills - landed]:
            when, after = moment(rng, left, whole, by_clock)
            landed += forker.killed({**task, "root": str(root)}, **when)
            left = after if step in RESUMES else 1.0
            forker.check_whole(root)
            assert set(forker.bits(root)) <= set(wanted), "something is taken for a result"
        forker.run({**task, "root": str(root)})
        assert forker.bits(root) == wanted, (number, when)
        if task["what"] != "pseudo":  # whose parts are small and hidden, and stay
            assert not [part for part in forker.parts(root) if "/fold" in part or task["what"] == "pack"]


def row(number: int, writer: str) -> dict:
    return {
        "run": f"{writer}/{number}", "name": writer, "sha256": f"{number:064x}", "file": f"{number}.csv",
        "cv": number / 7, "time_utc": "2026-01-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.nightly)])
def test_the_ledger_loses_no_row_and_doubles_none(forker, kills, tmp_path):
    """Of one who is killed while another writes too, and who then begins again from the first row."""
    rng, n = random.Random(kills), 40
    task = {"what": "ledger", "given": {"rows": [row(number, "killed") for number in range(n)]}}
    whole = forker.run({**task, "root": str(tmp_path / "whole")})
    wanted = read_ledger(tmp_path / "whole/ledger.csv")
    landed = tried = 0
    while landed < kills:
        tried += 1
        assert tried <= TRIES * kills
        root = tmp_path / str(tried)
        root.mkdir()
        with ThreadPoolExecutor(1) as other:
            done = other.submit(beside, root / "ledger.csv")
            landed += forker.killed({**task, "root": str(root)}, **moment(rng, 1.0, whole, tried % 3 == 2)[0])
            done.result()
        said = (root / ".said").read_text().split() if (root / ".said").exists() else []
        runs = read_ledger(root / "ledger.csv")["run"].tolist()
        mine = [run for run in runs if run.startswith("killed/")]
        assert mine[: len(said)] == said and len(said) <= len(mine) <= len(said) + 1
        assert [run for run in runs if run not in mine] == [f"beside/{number}" for number in range(5)]
        forker.run({**task, "root": str(root)})
        rows = read_ledger(root / "ledger.csv")
        assert len(rows) == n + 5
        assert rows[rows["name"] == "killed"].reset_index(drop=True).equals(wanted)


def beside(ledger):
    for number in range(5):
        add_row(ledger, row(number, "beside"))
        time.sleep(0.01)
