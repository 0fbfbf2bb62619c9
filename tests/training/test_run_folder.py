"""A run folder belongs to one experiment, one set of data, one set of sources, and tells what it was trained by."""

import hashlib
import importlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.metrics import METRICS
from kit.data.wave_augment import WaveAugment
from kit.demos.demo import make_voices
from kit.models.pooling import GeM
from kit.parts import Part
from kit.training import crossval as crossval_module
from kit.training import identity, run_folder
from kit.training.checkpoint import load_model
from kit.training.crossval import crossval
from kit.training.distil import Distil
from kit.training.identity import load_experiment, trained_by, write_identity
from kit.training.pseudo import PseudoLabels
from kit.training.soft_labels import SoftLabels

POOL = """
def pool(frames, mask=None, share=1.0):
    return frames.mean(1) * share * {factor}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(voices, tmp_path, cache):
    """Trains in one process; gives the run."""

    def once(experiment, competition=voices, progress=False, **options):
        options = {"folds": (0,), **options}
        return crossval(
            experiment, competition, tmp_path, cache=cache, n_jobs=1, threads=1, progress=progress, **options
        )[0]

    return once


@pytest.fixture
def one(tiny):
    return tiny.but(loop__epochs=1)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """mine(factor): a module of a pooling by the factor, as a reader changes it."""

    def write(factor):
        (tmp_path / "mine_pool.py").write_text(POOL.format(factor=factor))
        importlib.invalidate_caches()
        sys.modules.pop("mine_pool", None)
        return importlib.import_module("mine_pool")

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("mine_pool", None)


def touched(run):
    return {path.name: path.stat().st_mtime_ns for path in (run.folder / "fold0").iterdir()}


def test_what_is_finished_is_kept_and_another_experiment_refused_by_field(one, train):
    run = train(one)
    before = touched(run)
    train(one)
    assert touched(run) == before
    for changes, told in (
        ({"net__backbone__width": 32}, r"net__backbone__width 16 -> 32"),
        ({"net__pooling": GeM()}, r"net__pooling SelfAttention\(\) -> GeM\(p=3.0, eps=1e-06\)"),
        ({"optimizer__lr": 1e-3, "crop_frames": 30}, r"crop_frames 24 -> 30, optimizer__lr 0.005 -> 0.001"),
        ({"mix": None, "folds__seed": 3}, r"folds__seed 0 -> 3"),
    ):
        with pytest.raises(ValueError, match=rf"tiny-s0: holds a run of another experiment \({told}\); use another n"):
            train(one.but(**changes))
    assert touched(run) == before


def test_fresh_trains_anew(one, train):
    run = train(one)
    before = touched(run)
    again = train(one.but(optimizer__lr=1e-3), fresh=True)
    assert all(before[name] != when for name, when in touched(again).items())
    assert load_experiment(again.folder).optimizer.lr == 1e-3
    assert not np.allclose(run.probability, again.probability)


def test_fresh_of_one_fold_keeps_the_others_and_their_experiment(one, train):
    run = train(one, folds=(0, 1))
    kept = (run.folder / "fold1/metrics.json").stat().st_mtime_ns
    train(one, folds=(0,), fresh=True)
    assert (run.folder / "fold1/metrics.json").stat().st_mtime_ns == kept
    for changes, told in (({"crop_frames": 30}, "crop_frames 24 -> 30"), ({"folds__n": 3}, "folds__n 2 -> 3")):
        with pytest.raises(ValueError, match=rf"holds a run of another experiment \({told}\)"):
            train(one.but(**changes), folds=(0,), fresh=True)
    assert sorted(path.parent.name for path in run.folder.glob("fold*/metrics.json")) == ["fold0", "fold1"]


def test_a_subset_of_folds_is_put_together_with_those_that_are_finished(one, train):
    both = train(one, folds=(0, 1))
    again = train(one, folds=(0,))
    assert sorted(again.metrics["folds"]) == ["0", "1"] and len(again.oof) == len(both.oof)
    assert again.score == both.score


def test_fresh_takes_nothing_away_before_a_part_that_does_not_fit_is_named(one, train, mine):
    run = train(one)
    before = touched(run)
    (run.folder.parent / "mine_pool.py").write_text("def pool(frames, mask=None):\n    return frames\n")
    sys.modules.pop("mine_pool", None)
    with pytest.raises(ValueError, match="pooling pool must give z"):
        train(one.but(net__pooling=Part(importlib.import_module("mine_pool").pool)), fresh=True)
    assert touched(run) == before and load_experiment(run.folder) == one


def test_a_new_experiment_leaves_nothing_of_the_results_before_it(one, train, monkeypatch):
    run = train(one)
    monkeypatch.setattr(crossval_module, "_job", lambda *job: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(one.but(optimizer__lr=1e-3), fresh=True)
    assert not list(run.folder.glob("*.parquet")) and not (run.folder / "metrics.json").exists()


def test_code_that_a_file_only_names_is_not_run_without_trust(one, train, tmp_path):
    run = train(one)
    for field, part in (
        ("metric", "subprocess:call"),
        ("loss", "os:system"),
        ("features", "kit.results.record:record"),
    ):
        values = {**one.to_dict(), field: {"part": part}}
        with pytest.raises(
            ValueError, match=f"{part} is code that is not the kit's; read it, then trust=True loads it"
        ):
            identity.rebuilt(values, tmp_path / "none")
    ranked = one.but(metric=METRICS["lwlrap"])
    assert identity.rebuilt(ranked.to_dict(), tmp_path / "none") == ranked and load_experiment(run.folder) == one


def test_other_data_is_called_other_data(one, train, tmp_path):
    run = train(one)
    other = make_voices(tmp_path / "other/voices", n_speakers=6, n_train=8, n_test=3, seed=2)
    with pytest.raises(
        ValueError, match=r"fold0: was trained on other data \(store \w+, now \w+\); use another folder"
    ):
        train(one, open_competition(other))
    assert len(trained_by(run.folder / "fold0")) == 1


def test_a_changed_source_makes_a_finished_fold_stale_by_name_and_keeps_it(one, train, mine):
    run = train(one.but(net__pooling=Part(mine(1.0).pool, share=0.5)))
    before, probability = touched(run), run.probability
    assert (run.folder / "sources/mine_pool.py").read_text() == POOL.format(factor=1.0)
    train(one.but(net__pooling=Part(mine(1.0).pool, share=0.5)))  # the same text, loaded again
    changed = one.but(net__pooling=Part(mine(-3.0).pool, share=0.5))
    with pytest.raises(ValueError, match=r"fold0: was trained with another mine_pool.py; use another name, or fresh=T"):
        train(changed)
    assert touched(run) == before
    assert (run.folder / "sources/mine_pool.py").read_text() == POOL.format(factor=1.0)
    anew = train(changed, fresh=True)
    assert (run.folder / "sources/mine_pool.py").read_text() == POOL.format(factor=-3.0)
    assert not np.allclose(anew.probability, probability)


def test_a_changed_file_of_a_part_makes_a_finished_fold_stale_by_name(one, train, voices, tmp_path):
    path, table = tmp_path / "teacher.parquet", voices.train[["id"]]
    halves = {name: 1 / len(voices.classes) for name in voices.classes}
    table.assign(**halves).to_parquet(path)
    taught = one.but(loss=Distil(str(path), loss=one.loss, outside=True))
    run = train(taught)
    before = touched(run)
    train(taught)
    table.assign(**halves | {voices.classes[0]: 1.0}).to_parquet(path)
    with pytest.raises(ValueError, match=r"fold0: was trained with another \S+teacher.parquet; use another name"):
        train(taught)
    assert touched(run) == before
    train(taught, fresh=True)
    (told,) = trained_by(run.folder / "fold0")
    assert told["files"] == {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
    path.unlink()  # nothing is trained, so that nothing is read
    assert touched(train(taught))["metrics.json"] != before["metrics.json"]


def test_files_of_parts_are_known_by_content_and_folders_by_names_and_sizes(tmp_path):
    class Reader:
        reads = ("table",)

        def __init__(self, table):
            pass

    (tmp_path / "hum/deep").mkdir(parents=True)
    for name in ("a.parquet", "b.parquet", "hum/deep/x.wav"):
        (tmp_path / name).write_text("1")
    a, b, hum = (str(tmp_path / name) for name in ("a.parquet", "b.parquet", "hum"))
    parts = SimpleNamespace(pseudo=SoftLabels(a), net=Part(Reader, table=b), augment=(WaveAugment(background=hum),))
    first = identity.read_files(parts)
    assert list(first) == [a, b, hum] and first[a] == first[b] == hashlib.sha256(b"1").hexdigest()
    (tmp_path / "b.parquet").write_text("2")
    (tmp_path / "hum/deep/x.wav").write_text("3")
    assert identity.read_files(parts) == first | {b: hashlib.sha256(b"2").hexdigest()}
    (tmp_path / "hum/deep/x.wav").write_text("33")
    assert identity.read_files(parts)[hum] != first[hum]
    assert identity.read_files(SimpleNamespace(pseudo=PseudoLabels("none"), augment=(WaveAugment(),))) == {}


def test_a_run_with_code_of_its_own_is_loaded_on_trust_alone(one, train, mine):
    run = train(one.but(net__pooling=Part(mine(1.0).pool)))
    for load in (lambda **options: load_model(run.folder / "fold0/best.pt", **options),
                 lambda **options: load_experiment(run.folder, **options)):  # fmt: skip
        with pytest.raises(ValueError, match=r"sources: holds code of its own \(mine_pool.py\); read it, then trust=T"):
            load()
        assert load(trust=True)
    plain = train(one.but(name="plain"))
    assert not (plain.folder / "sources").exists() and load_model(plain.folder / "fold0/best.pt")


def test_a_fold_says_once_what_trained_it(one, train, monkeypatch):
    """Later code, here with another hash, neither rewrites that nor drops the fold: a line says so."""
    run = train(one)
    path = run.folder / "fold0/env.json"
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    (told,) = json.loads(before)["trained_by"]
    assert told["data"] and told["sources"] == {} and told["weights"] == [] and len(told["kit_sha256"]) == 64
    lines = []
    monkeypatch.setattr("tqdm.std.tqdm.write", lambda line, **_: lines.append(line))
    train(one, progress=True)
    assert lines == []
    monkeypatch.setattr(run_folder, "kit_sha256", lambda: "0" * 64)
    monkeypatch.setattr(identity, "kit_sha256", lambda: "0" * 64)
    train(one, progress=True)
    assert lines == [f"{run.folder}: kept fold 0, trained by another version of the kit; fresh=True trains anew"]
    assert path.read_bytes() == before and path.stat().st_mtime_ns == when


def test_what_goes_on_with_a_fold_is_added_to_what_began_it(tmp_path, monkeypatch):
    write_identity(tmp_path, {"mine.py": "a"}, "store", ("w",))
    write_identity(tmp_path, {"mine.py": "a"}, "store", ())  # the same, gone on from last.pt: starting weights are told
    (first,) = trained_by(tmp_path)
    assert first["weights"] == ["w"]
    monkeypatch.setattr(identity, "kit_sha256", lambda: "0" * 64)
    write_identity(tmp_path, {"mine.py": "a"}, "store", ())
    assert [one["kit_sha256"] == "0" * 64 for one in trained_by(tmp_path)] == [False, True]
    assert trained_by(tmp_path)[0] == first and trained_by(tmp_path / "none") == []


def test_the_environment_is_an_allow_list(monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", "a secret")
    assert "a secret" not in json.dumps(identity.environment())
    assert {"python", "torch", "timm", "kit_sha256", "cores"} <= set(identity.environment())


def test_impossible_requests_are_refused(voices, one, train, cache, tmp_path):
    with pytest.raises(ValueError, match="folds must be in 0 to 1, got 2"):
        train(one, folds=(2,))
    with pytest.raises(ValueError, match="every experiment must have its own name, got 'tiny' twice"):
        crossval([one, one], voices, tmp_path, cache=cache, progress=False)
