"""CONTRIBUTING.md is true: its examples train as parts of one's own, and each becomes the kit's by one file."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError, Listing

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = "METRICS: dict[str, Metric] = {\n"
ADDED = """
import json
from pathlib import Path

import kit
import torch
from kit import METRICS, Experiment, Metric, Wave, crossval, open_competition, preset
from kit.models.net import make_net
from kit.part_json import from_json, to_json

assert Path(kit.__file__).is_relative_to(Path.cwd()), kit.__file__
for name in {names}:
    part = getattr(kit, name)()
    text = json.dumps(to_json(part), allow_nan=False)
    assert json.loads(text)["part"] == name and from_json(json.loads(text)) == part, text
assert METRICS["top_three"].bounds == (0.0, 1.0)
parts = preset("tiny").but(
    loop__epochs=1, loop__epoch_steps=2, net__pooling=kit.Late(share=0.25), net__head=kit.MultiDropout(samples=2),
    loss=kit.Brier(), metric="top_three", mix=kit.Neighbours(), optimizer=kit.Momentum(lr=0.01),
    schedule=kit.Polynomial(), sampler=kit.Bootstrap(), augment=(kit.Shift(),),
)
assert Experiment.from_dict(json.loads(json.dumps(parts.to_dict(), allow_nan=False))) == parts
logits, z = make_net(kit.GRU(width=8), 40, 6, 24)(torch.zeros(2, 24, 40))
assert (logits.shape, z.shape) == ((2, 6), (2, 8))
assert Wave(front=kit.LogSpectrum(bins=32)).make()(torch.zeros(2, 720)).shape == (2, 3, 32)
competition = open_competition("data/lists")
assert competition.layout == "lists" and open_competition("data/voices").layout == "hw4"
(run,) = crossval(parts, competition, "runs/kit", folds=[0], n_jobs=1, threads=1, progress=False)
assert not list(run.folder.glob("sources/*.py")), "the kit's own parts need no sources"
print(run.metrics["metric"], run.score)
"""


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


SECTIONS = dict(re.findall(r"^### (.*)\n((?:(?!##).*\n)+)", PAGE, re.MULTILINE))  # text by heading
OWN = {heading: blocks(text)[0] for heading, text in SECTIONS.items()}
USE = blocks(PAGE)[-1]


def of_the_kit(heading):
    """The file of the kit that the heading names, and what is added to it."""
    own, *more = blocks(SECTIONS[heading])
    (file,) = re.findall(r"kit/[\w/]+\.py", heading)
    return file, own.replace("@dataclass(frozen=True)", "@part"), more[0] if more else ""


@pytest.fixture(scope="module")
def work(voices_folder, tmp_path_factory):
    """A folder with data/voices, its audio by two lists in data/lists, and mine.py."""
    work = tmp_path_factory.mktemp("work")
    (work / "data").mkdir()
    (work / "data/voices").symlink_to(voices_folder)
    shutil.copytree(voices_folder / "audio", work / "data/lists/audio")
    voices = open_competition(voices_folder)
    lines = [f"{row.audio} {row.label}\n" for row in voices.train.itertuples()]
    (work / "data/lists/train.txt").write_text("".join(lines))
    (work / "data/lists/test.txt").write_text("\n".join(voices.test["audio"]) + "\n")
    (work / "mine.py").write_text("\n\n".join([blocks(PAGE)[0], *OWN.values()]), encoding="utf-8")
    return work


@pytest.fixture(scope="module")
def mine(work):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(work))
        spec = importlib.util.spec_from_file_location("mine", work / "mine.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "mine", module)
        spec.loader.exec_module(module)
        yield module


def test_every_block_of_the_page_is_run_and_every_kind_of_part_is_there():
    kinds = [heading.split(":")[0] for heading in SECTIONS]
    assert kinds == [
        "Pooling", "Head", "Loss", "Metric", "Mixup", "Optimiser", "Schedule", "Sampler", "Augmentation", "Front end",
        "Whole net", "Layout",
    ]  # fmt: skip
    assert len(blocks(PAGE)) == 2 + sum(len(blocks(text)) for text in SECTIONS.values())
    assert PAGE.count("```") == 2 * len(blocks(PAGE)) + 2, "the commands of the tests are the only other block"


def test_the_examples_train_as_parts_of_ones_own(mine, work, monkeypatch):
    monkeypatch.chdir(work)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # one fold after another, in this process
    scope = {}
    exec(compile(USE, "CONTRIBUTING.md", "exec"), scope)
    runs = {run.name: run for run in scope["runs"]}
    assert list(runs) == ["parts-s0", "whole-s0", "front-s0"]
    for run in runs.values():
        log = pd.read_csv(run.folder / "fold0/log.csv")
        assert len(log) == 1 and np.isfinite(log["loss"]).all() and (run.folder / "sources/mine.py").exists()
    assert runs["parts-s0"].metrics["metric"] == "top_three"
    told = json.loads((runs["parts-s0"].folder / "experiment.json").read_text())
    assert told["net"]["pooling"] == {"part": "mine:LastShare", "share": 0.25}
    assert told["mix"] == {"part": "mine:Neighbours", "low": 0.7}


def test_the_examples_do_what_their_docstrings_say(mine):
    frames = torch.arange(8.0).view(1, 4, 2)
    mask = torch.tensor([[True, True, True, False]])
    late = mine.LastShare(2, share=0.5)
    torch.testing.assert_close(late(frames), torch.tensor([[5.0, 6.0]]))  # frames 2 and 3 of 4
    torch.testing.assert_close(late(frames, mask), torch.tensor([[3.0, 4.0]]))  # frames 1 and 2 of 3
    head = mine.MultiSample(4, 3).eval()
    z = torch.randn(5, 4)
    torch.testing.assert_close(head(z), head.linear(z))
    batch = type("Batch", (), {"target": torch.tensor([0, 1])})
    even = torch.zeros(2, 2)
    assert mine.Brier()(even, batch).item() == 0.5  # (1/2)² + (1/2)²
    batch.target = torch.full((2, 2), 0.5)
    assert mine.Brier()(even, batch).item() == 0
    probability = np.array([[0.4, 0.3, 0.2, 0.1]] * 2)
    assert mine.top_three(np.array([2, 3]), probability) == 0.5
    plan = mine.Neighbours(low=0.75).draw(3, 1, torch.Generator().manual_seed(0))
    assert 0.75 <= plan.lam <= 1 and plan.perm.tolist() == [2, 0, 1]
    assert [mine.Polynomial(2.0)(step, 4) for step in (0, 2)] == [1, 0.25]
    mel = torch.tensor([[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]])  # two items of one frame
    shifted = mine.Shift().apply(mel, torch.tensor([[1], [-1]]))
    assert shifted.tolist() == [[[1, 1, 2]], [[2, 3, 3]]] and mel[0].tolist() == [[1, 2, 3]]
    shifts = mine.Shift(bins=1).draw(torch.full((200,), 9), 3, torch.Generator().manual_seed(0))
    assert sorted(set(shifts.flatten().tolist())) == [-1, 0, 1]
    wave = torch.sin(2 * torch.pi * 10 / 400 * torch.arange(720)).view(1, -1)  # ten periods in a window
    assert mine.LogSpectrum()(wave).argmax(2).tolist() == [[10, 10, 10]]
    net = mine.Recurrent(3, 2, width=4)
    mel, mask = torch.randn(1, 5, 3), torch.tensor([[True] * 3 + [False] * 2])
    torch.testing.assert_close(net(mel, mask)[1], net(mel[:, :3])[1])
    assert isinstance(net.head, nn.Linear)
    rows = mine.Bootstrap()(torch.zeros(50), torch.Generator().manual_seed(0))
    assert rows.shape == (50,) and rows.min() >= 0 and rows.max() < 50 and len(rows.unique()) < 50
    (group,) = mine.Momentum(lr=0.1)([{"params": [torch.zeros(1)]}]).param_groups
    assert (group["lr"], group["nesterov"]) == (0.1, True)


def test_a_layout_of_ones_own_leaves_other_folders_alone(mine, work):
    lists = open_competition(work / "data/lists", layout=mine.read_lists)
    assert lists.layout == "read_lists" and lists.train["where"][1] == "train.txt: line 2"
    assert open_competition(work / "data/voices", layout=mine.read_lists).layout == "hw4"


def test_what_a_layout_lacks_is_named(mine, work):
    given = mine.read_lists(Listing(work / "data/lists"))
    train = given["train"]
    for change, message in (
        ([1], "must give a dict of a Competition's fields, got list"),
        ({"classes": None, "clases": 1}, "must give the fields layout, features, .*; look at clases"),
        ({"features": "wav"}, "features must be one of mel, wave, image, got 'wav'"),
        ({"features": "mel"}, "n_mels must be given where features are mel, got None"),
        ({"features": "mel", "n_mels": 40}, "train must have the columns id, path, label, where, frames, lacks frames"),
        ({"train": train.drop(columns="where")}, "train must have the columns id, path, label, where, lacks where"),
        ({"test": train.drop(columns="path")}, "test must have the columns id, path, where, lacks path"),
    ):

        def reader(listing, change=change):
            return {**given, **change} if isinstance(change, dict) else change

        with pytest.raises(CompetitionError, match=f"^layout reader: {message}$"):
            open_competition(work / "data/lists", layout=reader)


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.py")}


def add(heading, kit):
    """Write an example into a copy of the kit, as the page says."""
    file, own, more = of_the_kit(heading)
    path = kit.parent / file
    if heading.startswith("Metric"):
        before, after = path.read_text(encoding="utf-8").split(TABLE)
        entries = after.replace("    for metric in (\n", f"    for metric in (\n        {more.strip()},\n", 1)
        path.write_text(f"{before}{own}\n\n{TABLE}{entries}", encoding="utf-8")
    elif "a new file" in heading:
        assert not path.exists()
        path.write_text(f"{more}\n\n{own}", encoding="utf-8")
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n\n{own}\n\n{more}")


def test_each_becomes_the_kits_by_one_file(work):
    shutil.copytree(ROOT / "kit", work / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    for heading in SECTIONS:
        before = snapshot(work / "kit")
        add(heading, work / "kit")
        after = snapshot(work / "kit")
        changed = [path.relative_to(work).as_posix() for path, text in after.items() if before.get(path) != text]
        assert changed == [of_the_kit(heading)[0]] and before.keys() <= after.keys()
    names = [
        name
        for heading in SECTIONS
        for name in re.findall(r"^@part\nclass (\w+)", "\n".join(of_the_kit(heading)[1:]), re.M)
    ]
    assert len(names) == 10, "all but the metric and the layout"
    env = {**os.environ, "PYTHONPATH": str(work), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ADDED.format(names=names)], cwd=work, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.split()[0] == "top_three" and 0 <= float(ran.stdout.split()[1]) <= 1


def test_two_parts_of_one_name_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"data/{name}.py").write_text("@part\nclass Mean:\n    pass\n")
    shutil.copy(ROOT / "kit/__init__.py", tmp_path / "__init__.py")
    spec = importlib.util.spec_from_file_location("other_kit", tmp_path / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ImportError, match=r"names of their own, got Mean in kit\.data\.one and kit\.data\.two"):
        getattr(module, "PARTS")  # noqa: B009 - for its error
