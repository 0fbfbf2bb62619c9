"""SIGKILL at random moments: what goes on afterwards ends with the bits of what was never killed."""

import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.data.mixup import Mixup
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax
from kit.models.net import Net
from kit.models.pooling import SelfAttention
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.results.ledger import add_row, read_ledger
from kit.training.loop import Loop
from kit.training.losses import BCE
from kit.training.optim import AdamW
from kit.training.predict import Windows
from kit.training.schedules import WarmupCosine

ORDINARY = {"pack": 2, "train": 2, "grid": 2, "pseudo": 1}  # and one of the ledger's
NIGHTLY = {
    "pack": 14,
    "pack waves": 8,
    "train": 12,
    "grid": 10,
    "grid of loky's": 4,
    "pseudo": 10,
    "train in minutes": 6,
}  # and eight
RESUMES = ("train", "train in minutes", "grid", "grid of loky's")  # a second kill comes in what the first left to do
TRIES = 3  # for each kill: one by the clock may come too late on a machine that just got faster

CONFORMER = Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)
TINY = Experiment(
    name="tiny", folds=Folds(2), crop_frames=24, net=Net(CONFORMER, SelfAttention(), AMSoftmax()),
    mix=Mixup(places=("input", "stem")), optimizer=AdamW(lr=5e-3), schedule=WarmupCosine(4),
    loop=Loop(epochs=4, batch_size=8, ema_decay=0.9),
)  # fmt: skip
FOREST = Experiment(
    name="teacher", folds=Folds(2), features=LogMel(32000, 64, 0.04, 0.04, 300.0, 14000.0), crop_frames=64,
    net=Net(Timm("test_byobnet", frequency="stack"), head=ClassAttention()), loss=BCE(), schedule=WarmupCosine(1),
    loop=Loop(epochs=1, epoch_steps=2, batch_size=4), predict=Windows(overlap=16),
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
    experiments = [FOREST.but(name=f"t{seed}", seed=seed).to_dict() for seed in (0, 1)]
    given = {
        "data": str(rainforest_folder),
        "experiments": experiments,
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
    if step == "train in minutes":  # an epoch a call
        given |= {"calls": TINY.loop.epochs, "experiments": [TINY.but(loop__minutes=1e-6).to_dict()]}
        return {"what": "grid", "given": given}
    if what == "train":
        return {"what": "grid", "given": {**given, "experiments": [TINY.to_dict()]}}
    experiments = [TINY.to_dict(), TINY.but(name="other", mix=None, loop__ema_decay=0.0).to_dict()]
    backend = "loky" if "loky" in step else "multiprocessing"  # which forks, and so costs no import
    return {"what": "grid", "given": {**given, "experiments": experiments, "folds": None, "backend": backend}}


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
            results = {name for name in forker.bits(root) if not name.endswith("so_far.json")}
            assert results <= set(wanted), "something is taken for a result"
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
