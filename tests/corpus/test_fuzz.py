"""Valid files with bytes changed: whatever a reader is fed, it reads it or raises the error that it declares."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import AMSoftmax, GeM, LPCViews, Mixup, Net, Timm
from kit.competition.competition import Competition, open_competition
from kit.competition.listing import CompetitionError
from kit.data.audio import AudioError, load_wave
from kit.data.tensors import read_mel
from kit.experiment import Experiment
from kit.results.check import SubmissionError, check_content

TEXT = (b"", b",", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b" ", b"-1")
TEXT += (
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 3000,
    b'"\\ud800"',
    b"\\u0000",
    b"../",
    b"/",
    b'"a": 1,',
)
BINARY = (
    b"",
    b"\0",
    b"\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\1",
    b"\x80",
)
# What is found in the ordinary tests is found again in the next run; the long form draws anew each night.
EXAMPLES = [20, pytest.param(3000, marks=pytest.mark.nightly)]


def mutations(tokens):
    """Lists of edits: where (a share of the file), how many bytes are taken out, and what is put there."""
    content = st.sampled_from(tokens) | st.binary(max_size=4)
    place = st.floats(0, 1, exclude_max=True)
    edit = st.tuples(place, st.integers(0, 8) | st.just(10**9), content)
    return st.lists(edit, min_size=1, max_size=4)


def edited(content, edits):
    for place, taken, put in edits:
        start = int(place * len(content))
        content = content[:start] + put + content[start + taken :]
    return bytes(content)


def search(examples, strategy, check):
    """Runs check on so many drawn examples; pytest's fixtures are the caller's."""
    found = settings(
        max_examples=examples, deadline=None, derandomize=examples < 100, database=None,
        suppress_health_check=list(HealthCheck),
    )(given(strategy)(check))  # fmt: skip
    found()


def opened(folder):
    """What may come out of a folder: tables in which each row has its fields, or the one error."""
    try:
        competition = open_competition(folder)
    except CompetitionError as error:
        assert str(folder) in str(error)
        return
    assert len(competition.train) and len(competition.test) and len(set(competition.classes)) >= 2
    assert competition.train["path"].map(competition.listing.fault).isna().all()
    assert competition.train["path"].is_unique or "start_seconds" in competition.train


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("file", ["metadata.json", "mapping.json", "testdata.json"])
def test_json(hw4, file, examples):
    content = (hw4 / file).read_bytes()

    def check(edits):
        (hw4 / file).write_bytes(edited(content, edits))
        opened(hw4)

    search(examples, mutations(TEXT), check)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize(
    ("layout", "file"),
    [("table", "train.csv"), ("table", "sample_submission.csv")]
    + [("rfcx", name) for name in ("train_tp.csv", "train_fp.csv", "sample_submission.csv")]
    + [("freesound", name) for name in ("train_curated.csv", "sample_submission.csv")]
    + [("cornell", name) for name in ("train.csv", "test.csv", "sample_submission.csv")]
    + [("columns", "train.csv"), ("speech_commands", "train/validation_list.txt")],
)
def test_csv(request, contest, contests, layout, file, examples):
    folder = contest(layout) if layout in contests else request.getfixturevalue(layout)
    content = (folder / file).read_bytes()

    def check(edits):
        (folder / file).write_bytes(edited(content, edits))
        opened(folder)

    search(examples, mutations(TEXT), check)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_solution(table, examples):
    content = b"file,label,Usage\nc.wav,no,Public\n"
    competition = open_competition(table)

    def check(edits):
        (table / "solution.csv").write_bytes(edited(content, edits))
        try:
            found = competition.solution()
        except CompetitionError as error:
            assert str(table / "solution.csv") in str(error)
        else:
            assert list(found.columns) == ["id", "label", "usage"] and found["usage"].isin(["Public", "Private"]).all()

    search(examples, mutations(TEXT), check)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_experiment(tmp_path, examples):
    content = json.dumps(Experiment().to_dict()).encode()

    def check(edits):
        (tmp_path / "experiment.json").write_bytes(edited(content, edits))
        try:
            assert isinstance(Experiment.load(tmp_path / "experiment.json"), Experiment)
        except ValueError as error:
            assert type(error) is ValueError and str(error).startswith(str(tmp_path / "experiment.json"))

    search(examples, mutations(TEXT), check)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_value_in_any_field(examples):
    """Of an experiment or one of its parts, one or two fields at a time, so that most reach the rules."""
    known = Experiment(mix=Mixup(), views=LPCViews(), net=Net(Timm(), GeM(), AMSoftmax())).to_dict()
    parts = {name: value for name, value in known.items() if isinstance(value, dict)}
    names = {*known, *(field for value in parts.values() for field in value), "part", "window", "fmin", "head"}

    def fields(name):
        inner = st.dictionaries(st.sampled_from(list(parts[name])), VALUES, min_size=1, max_size=2)
        return inner.map(lambda changed: {name: {**parts[name], **changed}})

    def check(values):
        try:
            assert isinstance(Experiment.from_dict(values), Experiment)
        except ValueError as error:
            assert type(error) is ValueError and any(name in str(error) for name in names)

    of_experiment = st.dictionaries(st.sampled_from(list(known)), VALUES, min_size=1, max_size=2)
    search(2 * examples, of_experiment | st.sampled_from(list(parts)).flatmap(fields), check)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("form", ["archive", "former"])
def test_tensors(form, examples):
    file = io.BytesIO()
    torch.save(torch.arange(200.0).reshape(5, 40), file, _use_new_zipfile_serialization=form == "archive")

    def check(edits):
        found = read_mel(edited(file.getvalue(), edits), (5, 40), "float32")
        if isinstance(found, str):
            assert found.startswith(("not a tensor file that can be read safely (", "must ", "holds "))
        else:
            assert found.shape == (5, 40) and found.dtype == np.float32 and np.isfinite(found).all()

    search(2 * examples, mutations(BINARY), check)


SOUNDS = {
    "wav": {"subtype": "PCM_16"}, "float.wav": {"subtype": "FLOAT"}, "24.wav": {"subtype": "PCM_24"},
    "flac": {}, "ogg": {},
}  # fmt: skip


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("kind", SOUNDS)
def test_audio(tmp_path, kind, examples):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.random.default_rng(0).standard_normal((400, 2)) * 0.1, 16000, **SOUNDS[kind])
    content = path.read_bytes()

    def check(edits):
        # Half of the edits are in the header, which is where a file says what it is.
        path.write_bytes(edited(content[:64], edits[::2]) + edited(content[64:], edits[1::2]))
        try:
            wave = load_wave(path, 16000)
        except AudioError as error:
            assert str(path) in str(error)
        else:
            assert wave.ndim == 1 and len(wave) and wave.dtype == torch.float32 and wave.isfinite().all()

    search(examples, mutations(BINARY), check)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("form", ["label", "lists", "probabilities"])
def test_submissions(tmp_path, form, examples):
    """What passes holds the ids of the test, each once, whatever else was done to it."""
    ids, several = [f"u{number}" for number in range(4)], form == "probabilities"
    classes = ("a", "b,c", "d")
    competition = Competition(
        folder=tmp_path, layout="table", features="wave", n_mels=None, classes=classes, id_column="Id", cluster=None,
        train=pd.DataFrame({"id": [], "label": [], "where": []}), test=pd.DataFrame({"id": ids}),
        label_columns=("s0", "s1", "s2") if several else ("Category",), task="single" if form == "label" else "multi",
    )  # fmt: skip
    rows = ["Id,s0,s1,s2", *(f"u{n},0.{n},{n}e-1,.{n}" for n in range(4))] if several else ["Id,Category"]
    rows += [] if several else ["u0,a", 'u1,"b,c"', "u2,d", "u3,d a" if form == "lists" else "u3,a"]
    content, path = "\n".join(rows).encode() + b"\n", Path("x.csv")
    assert len(check_content(content, path, competition)) == 4

    def check(edits):
        try:
            found = check_content(edited(content, edits), path, competition)
        except SubmissionError as error:
            assert str(error).startswith("x.csv")
            return
        assert sorted(found["Id"]) == ids
        if several:
            assert found.iloc[:, 1:].astype(float).stack().between(0, 1).all()
        else:
            names = found["Category"].str.split(" ") if form == "lists" else found["Category"].map(lambda name: [name])
            assert all(set(row) <= {*classes, ""} and (form == "lists" or row != [""]) for row in names)

    search(2 * examples, mutations(TEXT), check)
