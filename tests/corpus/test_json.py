"""Malformed and odd JSON in a folder of HW4's layout: each is read as it stands, or named with its file and rule."""

import json
import os
import re
import shutil

import pytest

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError


def raw(name, content):
    """The file `name` holds these bytes."""
    return lambda folder: (folder / name).write_bytes(content)


def edited(name, edit):
    """The file `name` after `edit(content)`."""

    def spoil(folder):
        content = json.loads((folder / name).read_text())
        edit(content)
        (folder / name).write_text(json.dumps(content))

    return spoil


def first(**change):
    """metadata.json with its first row changed; None takes a key away."""

    def edit(content):
        row = content["speakers"]["anna"][0]
        row.update(change)
        for key in [key for key, value in row.items() if value is None]:
            del row[key]

    return edited("metadata.json", edit)


def linked(name, target):
    """A link to `target`, which is outside where it begins with ../, in the place of `name`."""

    def spoil(folder):
        shutil.copy(folder / name, folder.parent / "outside")
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def moved_below(folder):
    (folder / "deep/er").mkdir(parents=True)
    (folder / "u0.pt").rename(folder / "deep/er/u0.pt")
    first(feature_path="deep/er/u0.pt")(folder)


def kept_elsewhere(folder):
    (folder / "mapping.json").rename(folder / "kept.json")
    (folder / "mapping.json").symlink_to("kept.json")


def a_folder_for_u0(folder):
    (folder / "u0.pt").unlink()
    (folder / "u0.pt").mkdir()


def a_pipe_for_u0(folder):
    (folder / "u0.pt").unlink()
    os.mkfifo(folder / "u0.pt")


SPEAKERS = b'{"n_mels": 40, "speakers": {"anna": [{"feature_path": "u0.pt", "mel_len": 5}]'
FAULTS = {
    # what is done to the folder, then what the message must say
    "empty": (raw("metadata.json", b""), "metadata.json: the file is empty"),
    "white space": (raw("mapping.json", b" \n"), "mapping.json: line 2: not JSON"),
    "not JSON": (raw("mapping.json", b'{\n"speaker2id": {anna: 0}}'), "mapping.json: line 2: not JSON"),
    "cut short": (raw("testdata.json", b'{"n_mels": 40, "utt'), "testdata.json: line 1: not JSON"),
    "two objects": (raw("mapping.json", b"{}\n{}"), "mapping.json: line 2: not JSON (Extra data)"),
    "a byte order mark": (raw("mapping.json", b"\xef\xbb\xbf{}"), "mapping.json: line 1: not JSON (Unexpected UTF-8"),
    "UTF-16": (raw("mapping.json", "{}".encode("utf-16")), "mapping.json: not UTF-8 text (line 1"),
    "Latin-1": (raw("mapping.json", '{\n"jürgen": 0}'.encode("latin-1")), "mapping.json: not UTF-8 text (line 2"),
    "a NUL byte": (raw("mapping.json", b'{"a\0": 0}'), "mapping.json: line 1: not JSON (Invalid control"),
    "nested arrays": (raw("metadata.json", b"[" * 200_000 + b"]" * 200_000), "metadata.json: not JSON that can be"),
    "nested objects": (raw("metadata.json", b'{"a":' * 100_000), "metadata.json: not JSON that can be read (nested"),
    "an array": (raw("testdata.json", b"[]"), "testdata.json: must be a JSON object, got list"),
    "a text": (raw("testdata.json", b'"utterances"'), "testdata.json: must be a JSON object, got str"),
    "null": (raw("mapping.json", b"null"), "mapping.json: must be a JSON object, got NoneType"),
    "a number of 5,000 digits": (
        raw("metadata.json", b'{"n_mels": ' + b"4" * 5000 + b"}"),
        "metadata.json: a whole number must have at most 300 digits, got 5000",
    ),
    "a speaker twice": (
        raw("metadata.json", SPEAKERS + b', "anna": []}}'),
        "metadata.json: the key 'anna' is there twice in one object",
    ),
    "half a surrogate pair": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0, "\\ud800": 1}}'),
        "mapping.json: not text that can be written (half of a surrogate pair)",
    ),
    "an empty object": (raw("mapping.json", b"{}"), "mapping.json: speaker2id: must be an object of at least one"),
    "no file": (lambda folder: (folder / "mapping.json").unlink(), "mapping.json: no such file on disk"),
    "a folder": (
        lambda folder: ((folder / "mapping.json").unlink(), (folder / "mapping.json").mkdir()),
        "mapping.json: no such file on disk",
    ),
    "a link out": (linked("mapping.json", "../outside"), "mapping.json: the link leaves the competition's folder"),
    "a link to itself": (linked("mapping.json", "mapping.json"), "mapping.json: the link leads to no file"),
    "a link to nothing": (linked("testdata.json", "gone.json"), "testdata.json: the link leads to no file"),
    "n_mels missing": (edited("metadata.json", lambda c: c.pop("n_mels")), "metadata.json: n_mels: must be a positive"),
    "n_mels NaN": (edited("metadata.json", lambda c: c.update(n_mels=float("nan"))), "whole number, got nan"),
    "n_mels false": (edited("metadata.json", lambda c: c.update(n_mels=False)), "whole number, got False"),
    "n_mels differ": (edited("testdata.json", lambda c: c.update(n_mels=41)), "must be metadata.json's 40, got 41"),
    "speakers a list": (edited("metadata.json", lambda c: c.update(speakers=[])), "speakers: must be an object"),
    "rows an object": (
        edited("metadata.json", lambda c: c["speakers"].update(anna={"u0.pt": 5})),
        "metadata.json: speaker anna: must be a list of at least one utterance",
    ),
    "a row null": (
        edited("metadata.json", lambda c: c["speakers"].update(anna=[None])),
        "metadata.json: speaker anna, row 0: must hold feature_path (text) and mel_len",
    ),
    "utterances missing": (
        edited("testdata.json", lambda c: c.pop("utterances")),
        "testdata.json: utterances: must be a list of at least one utterance",
    ),
    "a number for each speaker, one twice": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0, "ben": 0}}'),
        "mapping.json: speaker2id: numbers must be 0 to 1, each once",
    ),
    "a number that is a fraction": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0.0, "ben": 1}}'),
        "mapping.json: speaker2id: numbers must be 0 to 1, each once",
    ),
    "numbers that are objects": (
        raw("mapping.json", b'{"speaker2id": {"anna": {}, "ben": []}}'),
        "mapping.json: speaker2id: numbers must be 0 to 1, each once",
    ),
    "a speaker without a number": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0}}'),
        "metadata.json: speaker ben: is not in mapping.json",
    ),
    "a speaker without a name": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0, "ben": 1, "": 2}}'),
        "a class's name must be writable as a CSV's, got ''",
    ),
    "a speaker with a NUL in the name": (
        raw("mapping.json", b'{"speaker2id": {"anna": 0, "ben": 1, "c\\u0000": 2}}'),
        r"a class's name must be writable as a CSV's, got 'c\x00'",
    ),
    "a path missing": (first(feature_path=None), "speaker anna, row 0: must hold feature_path"),
    "a path a list": (first(feature_path=["u0.pt"]), "speaker anna, row 0: must hold feature_path"),
    "a path empty": (first(feature_path=""), "row 0 (): the path must be a non-empty string, got ''"),
    "a path that leaves": (first(feature_path="deep/../../outside"), "the path leaves the competition's folder"),
    "an absolute path": (first(feature_path="/etc/hostname"), "the path leaves the competition's folder"),
    "a path of Windows": (first(feature_path="..\\outside"), "the path must have / between its folders, got '"),
    "a path with NUL": (first(feature_path="u0.pt\0"), "the path must hold no NUL, got 'u0.pt\\x00'"),
    "a path too long to be one": (first(feature_path="u" * 9000), "no such file on disk"),
    "a path below a file": (first(feature_path="u1.pt/u0.pt"), "row 0 (u1.pt/u0.pt): no such file on disk"),
    "a path twice": (first(feature_path="./u1.pt"), "row 1 (u1.pt): the same file as metadata.json: speaker anna"),
    "a path of the test": (first(feature_path="u4.pt"), "testdata.json: utterances, row 0 (u4.pt): the same file as"),
    "a feature file that is a link out": (linked("u0.pt", "../outside"), "row 0 (u0.pt): the link leaves"),
    "a feature file that is a link to itself": (linked("u0.pt", "u0.pt"), "row 0 (u0.pt): the link leads to no file"),
    "a feature file that is a folder": (a_folder_for_u0, "row 0 (u0.pt): no such file on disk"),
    "a feature file that is a pipe": (a_pipe_for_u0, "row 0 (u0.pt): no such file on disk"),
    "a feature file of no bytes": (raw("u0.pt", b""), "row 0 (u0.pt): the file is empty"),
    "a length missing": (first(mel_len=None), "row 0 (u0.pt): mel_len must be a positive whole number, got None"),
    "a length of 0": (first(mel_len=0), "row 0 (u0.pt): mel_len must be a positive whole number, got 0"),
    "a length below 0": (first(mel_len=-5), "mel_len must be a positive whole number, got -5"),
    "a length in text": (first(mel_len="5"), "mel_len must be a positive whole number, got '5'"),
    "a length with a fraction": (first(mel_len=5.0), "mel_len must be a positive whole number, got 5.0"),
    "a length without end": (first(mel_len=float("inf")), "mel_len must be a positive whole number, got inf"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_named(hw4, fault):
    spoil, message = FAULTS[fault]
    spoil(hw4)
    with pytest.raises(CompetitionError, match=re.escape(message)) as caught:
        open_competition(hw4)
    assert str(hw4) in str(caught.value)


def labels_and_lengths(competition):
    return competition.train[["label", "frames"]].to_numpy().tolist()


AS_MADE = [["anna", 5], ["anna", 5], ["ben", 5], ["ben", 5]]
ODD = {
    # what is done to the folder, what to look at, and what that must be
    "numbers in text": (
        raw("mapping.json", b'{"speaker2id": {"anna": "1", "ben": "0"}}'),
        lambda found: found.classes, ("ben", "anna"),
    ),
    "a name in another script": (
        raw("mapping.json", b'{"speaker2id": {"anna": 1, "ben": 2, "\\u0416\\ud83c\\udfb5": 0}}'),
        lambda found: found.classes, ("Ж🎵", "anna", "ben"),
    ),
    "keys that no one asked for": (edited("metadata.json", lambda c: c.update(more=[1])), labels_and_lengths, AS_MADE),
    "white space": (
        lambda folder: raw("metadata.json", b"\r\n\t" + (folder / "metadata.json").read_bytes() + b"\n\n")(folder),
        labels_and_lengths, AS_MADE,
    ),
    "a sub-folder": (moved_below, lambda found: found.train["path"][0], "deep/er/u0.pt"),
    "a link inside": (
        kept_elsewhere,
        lambda found: found.classes, ("anna", "ben"),
    ),
    "a length that no file has": (
        first(mel_len=10**30), lambda found: found.train["frames"][0], 10**30,
    ),
    "links about the folder": (
        lambda folder: [(folder / name).symlink_to(name) for name in ("loop", "metadata.json.bak")],
        labels_and_lengths, AS_MADE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_read(hw4, case):
    spoil, look, expected = ODD[case]
    spoil(hw4)
    assert look(open_competition(hw4)) == expected
