"""Malformed and odd `.pt` files: packed as they stand, or named with file, row and rule; no code in one runs."""

import builtins
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.data.store import pack

MEL = torch.arange(200.0).reshape(5, 40) / 8
SAFE = "not a tensor file that can be read safely ("


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def repacked(content, change):
    """A `.pt` archive whose members went through change(name, bytes), stored anew."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return found.getvalue()


def bomb(n_bytes):
    """An archive of as many zeros, packed into a thousandth of it."""
    found = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(MEL))) as old,
        zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            with new.open(name, "w") as member:
                for _ in range(n_bytes // 2**20 if name.endswith("data/0") else 0):
                    member.write(bytes(2**20))
                member.write(b"" if name.endswith("data/0") else old.read(name))
    return found.getvalue()


def overlapping(n_times):
    """An archive whose directory names the same stored bytes again and again, under other names."""
    content = repacked(saved(MEL), lambda _, old: old)  # torch's own ends in records for archives above 4 GiB
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start, n_entries = archive.start_dir, len(archive.infolist())
    end = content.rindex(b"PK\x05\x06")
    last = content[start:end] * n_times
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, n_entries * n_times, n_entries * n_times, len(last), start, 0)
    return content[:start] + last + tail


def two_directories():
    """An archive with its directory twice: one where its end says, one just before its end."""
    content = repacked(saved(MEL), lambda _, old: old)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.start_dir
    return content[:start] + content[start : content.rindex(b"PK\x05\x06")] + content[start:]


class Runs:
    """Pickled as a call of `function`, which unpickling would make."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


CALLS = {
    os.system: ["touch trace"],
    builtins.exec: ["import os; os.mkdir('trace')"],
    os.mkdir: ["trace"],
    open: ["trace", "w"],
}


def harm(function, *arguments):
    return {
        "torch.save": saved(Runs(function, *arguments)),
        "torch.save's former format": saved(Runs(function, *arguments), _use_new_zipfile_serialization=False),
        "a bare pickle": pickle.dumps(Runs(function, *arguments)),
        "within a tensor's archive": repacked(
            saved(MEL),
            lambda name, old: pickle.dumps(Runs(function, *arguments), 2) if name.endswith("data.pkl") else old,
        ),
    }


def spoilt(row, column, value):
    mel = MEL.clone()
    mel[row, column] = value
    return saved(mel)


FAULTS = {
    # the file's bytes, then what the message must say
    "noise": (bytes(range(256)), SAFE),
    "text": (b"0.1 0.2 0.3\n", SAFE),
    "a NumPy file": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", SAFE),
    "cut in half": (saved(MEL)[:700], SAFE),
    "without its last byte": (saved(MEL)[:-1], SAFE),
    "the former format, cut": (saved(MEL, _use_new_zipfile_serialization=False)[:-100], SAFE),
    "a zip of something else": (repacked(saved(MEL), lambda name, _: b"?"), SAFE),
    "less data than the shape": (repacked(saved(MEL), lambda n, old: old[:40] if n.endswith("data/0") else old), SAFE),
    "a zip bomb": (bomb(2**24), "must be an archive without compression, got 16,77"),
    "a zip whose members overlap": (overlapping(60), "must be an archive without compression, got "),
    "a zip with two directories": (two_directories(), "must be an archive with one directory, got one at byte "),
    "a dict": (saved({"mel": MEL}), "must hold a floating-point tensor, got dict"),
    "a list": (saved([MEL]), "must hold a floating-point tensor, got list"),
    "None": (saved(None), "must hold a floating-point tensor, got NoneType"),
    "a NumPy array": (saved(MEL.numpy()), SAFE),
    "a module": (saved(torch.nn.Linear(2, 2)), SAFE),
    "whole numbers": (saved(MEL.int()), "must hold a floating-point tensor, got torch.int32"),
    "bytes": (saved(MEL.to(torch.uint8)), "must hold a floating-point tensor, got torch.uint8"),
    "truth values": (saved(MEL > 3), "must hold a floating-point tensor, got torch.bool"),
    "complex numbers": (saved(MEL.to(torch.complex64)), "must hold a floating-point tensor, got torch.complex64"),
    "a sparse tensor": (saved(MEL.to_sparse()), "must hold a floating-point tensor, got torch.float32"),
    "no numbers at all": (saved(torch.zeros(5, 40, device="meta")), "must hold a tensor with its numbers, got one on"),
    "no frames": (saved(MEL[:0]), "must have shape (5, 40) (mel_len, n_mels), got (0, 40)"),
    "a frame too few": (saved(MEL[:4]), "must have shape (5, 40) (mel_len, n_mels), got (4, 40)"),
    "41 bins": (saved(torch.zeros(5, 41)), "must have shape (5, 40) (mel_len, n_mels), got (5, 41)"),
    "bins first": (saved(MEL.T), "must have shape (5, 40) (mel_len, n_mels), got (40, 5)"),
    "one dimension": (saved(MEL.flatten()), "must have shape (5, 40) (mel_len, n_mels), got (200,)"),
    "three dimensions": (saved(MEL[None]), "must have shape (5, 40) (mel_len, n_mels), got (1, 5, 40)"),
    "one number": (saved(torch.tensor(1.0)), "must have shape (5, 40) (mel_len, n_mels), got ()"),
    "as many numbers as one likes": (saved(torch.zeros(1).expand(10**9, 10**9)), "got (1000000000, 1000000000)"),
    "NaN": (spoilt(4, 39, float("nan")), "holds NaN or inf as float32"),
    "inf": (spoilt(0, 0, float("inf")), "holds NaN or inf as float32"),
    "-inf": (spoilt(2, 7, float("-inf")), "holds NaN or inf as float32"),
    "a double beyond a float": (saved(MEL.double() * 1e300), "holds NaN or inf as float32"),
}  # fmt: skip


def packed(folder, content):
    """The row of u1.pt, with these bytes as its content, in the packed store."""
    (folder / "u1.pt").write_bytes(content)
    store = pack(open_competition(folder), folder.parent / "cache", progress=False)
    return store.features[5:10]


def assert_named(folder, content, message):
    with pytest.raises(CompetitionError) as caught:
        packed(folder, content)
    assert str(folder) in str(caught.value)
    assert f"metadata.json: speaker anna, row 1 (u1.pt): {message}" in str(caught.value) or (
        message in str(caught.value) and "row 1 (u1.pt): must" in str(caught.value)
    )
    assert list((folder.parent / "cache").iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_named(hw4, fault):
    assert_named(hw4, *FAULTS[fault])


@pytest.mark.parametrize("kind", harm(print))
@pytest.mark.parametrize("function", CALLS)
def test_no_code_runs(hw4, kind, function, monkeypatch):
    """Each call, made in earnest, leaves a trace; the file leaves none."""
    monkeypatch.chdir(hw4)
    arguments = CALLS[function]
    assert_named(hw4, harm(function, *arguments)[kind], SAFE)
    assert not (hw4 / "trace").exists()
    result = pickle.loads(pickle.dumps(Runs(function, *arguments)))  # noqa: S301 - our own: what the file would have done
    assert (hw4 / "trace").exists()
    if function is open:
        result.close()


def test_a_zip_bomb_takes_no_memory(hw4, grown):
    content = bomb(2**26)
    with grown() as bytes_:
        assert_named(hw4, content, "must be an archive without compression, got 67,1")
    assert bytes_() < 2**24  # a quarter of what it would unpack to


def test_a_shape_that_metadata_agrees_to_is_bounded_too(hw4):
    for name in ("metadata.json", "testdata.json"):
        text = (hw4 / name).read_text().replace('"n_mels": 40', '"n_mels": 1000000')
        (hw4 / name).write_text(text.replace('"u1.pt", "mel_len": 5', '"u1.pt", "mel_len": 1000000'))
    with pytest.raises(CompetitionError, match=r"\(u1.pt\): must hold at most 268,435,456 numbers, got 1,000"):
        packed(hw4, saved(torch.zeros(1, 1).expand(10**6, 10**6)))


def test_half_files_have_room_for_halves_only(hw4):
    """A store is of the first file's precision."""
    for number in (0, 2, 3, 4):
        torch.save(MEL.half(), hw4 / f"u{number}.pt")
    assert_named(hw4, saved(MEL + 70_000), "holds NaN or inf as float16")
    assert packed(hw4, saved(MEL)).equal(MEL.half())


def test_a_faulty_first_file_is_named_as_any_other(hw4):
    (hw4 / "u0.pt").write_bytes(b"noise")
    with pytest.raises(CompetitionError, match=r"2 problems\n.*\(u0.pt\): not a tensor .*\n.*\(u1.pt\): not a"):
        packed(hw4, b"noise")


ODD = {
    "double": saved(MEL.double()),
    "half": saved(MEL.half()),
    "bfloat16": saved((MEL * 8).bfloat16() / 8),
    "the former format": saved(MEL, _use_new_zipfile_serialization=False),
    "a parameter": saved(torch.nn.Parameter(MEL)),
    "with a gradient to come": saved(MEL.clone().requires_grad_()),
    "transposed": saved(MEL.T.contiguous().T),
    "a part of a larger tensor": saved(torch.cat([MEL + 1, MEL, MEL + 2])[5:10]),
    "negated when read": saved(torch.complex(MEL, -MEL).conj().imag),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_read(hw4, case):
    found = packed(hw4, ODD[case])
    exact = (MEL * 8).bfloat16().float() / 8 if case == "bfloat16" else MEL
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), exact.numpy())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
def test_a_protocol_that_can_not_be_read_safely_is_named(hw4):
    assert_named(hw4, saved(MEL, pickle_protocol=4), SAFE)
