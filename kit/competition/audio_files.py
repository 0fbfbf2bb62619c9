"""The audio files that a table's ids stand for: with or without a suffix, in any letter case, below a folder or not."""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from kit.competition.listing import Listing
from kit.competition.names import told

# What libsndfile reads, in the order in which files of one name are preferred.
AUDIO = (
    ".flac", ".wav", ".ogg", ".mp3", ".opus", ".oga", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64",
)  # fmt: skip
FOREIGN = (".aac", ".m4a", ".m4b", ".mka", ".mp4", ".webm", ".wma", ".amr", ".ape")  # what it does not read

PART = re.compile(r"(train|test)(?![a-z])", re.IGNORECASE)  # how the name of a folder of one part begins


def convert_hint(path: str | Path) -> str:
    """How to make a file that can be read of one that libsndfile does not know."""
    name = PurePosixPath(path)
    return f"convert it, as by ffmpeg -i {name.name} {name.stem}.flac"


def is_audio(path: str) -> bool:
    return path.lower().endswith(AUDIO)


def find_audio(listing: Listing, name: str, folder: str) -> tuple[str, str | None]:
    """The path of the audio file that `name` stands for, and the rule that it breaks, or None.

    Looked for, in this order: folder/name, name, and both with one of the suffixes of AUDIO.
    """
    entry = listing.entries.get(f"{folder}/{name}")
    if entry and entry.size and "\\" not in name:  # as most are; all else takes ten times as long
        return f"{folder}/{name}", None
    if rule := listing.path_fault(name):
        return name, rule
    guesses = [str(PurePosixPath(guess)) for guess in (f"{folder}/{name}", name)]  # a file has one spelling
    for guess in guesses:
        if path := listing.match(guess):
            return path, listing.fault(path)
    beside = [path for guess in guesses for path in listing.with_stem(guess)]
    if audio := sorted(filter(is_audio, beside), key=lambda path: AUDIO.index(PurePosixPath(path).suffix.lower())):
        return audio[0], listing.fault(audio[0])
    if foreign := [path for path in beside if path.lower().endswith(FOREIGN)]:
        return foreign[0], f"{told(foreign[0])} is not audio that can be read here: {convert_hint(foreign[0])}"
    rule = listing.fault(guesses[0])
    if rule == "the file is empty":  # of a folder, which match does not know
        return guesses[0], rule
    return guesses[0], f"{rule}: looked for {guesses[0]}" if rule.startswith("no such") else rule


def find_in_any_folder(listing: Listing, name: str, folder: str, row: Collection[str] = ()) -> tuple[str, str | None]:
    """As find_audio; where that finds no file, the one of this name or stem in any folder but the other part's.

    folder begins with train or test. row holds the fields of the table's row: of files of one name in several folders,
    it is the one whose folders the fields name.
    """
    other = "test" if folder.startswith("train") else "train"
    exact = listing.of_name(name) if "\\" not in name else []
    if len(exact) == 1 and part_of(exact[0]) != other and listing.entries[exact[0]].size and is_audio(exact[0]):
        return exact[0], None  # as most are
    path, rule = find_audio(listing, name, folder)
    if rule is None or not rule.startswith("no such"):
        return path, rule
    paths = [path for path in listing.in_any_folder(name) if is_audio(path) and part_of(path) != other]
    if not paths:
        return path, rule
    named = {path: len(set(row).intersection(PurePosixPath(path).parts[:-1])) for path in paths}
    paths = [path for path in paths if named[path] == max(named.values())]
    paths.sort(key=lambda path: AUDIO.index(PurePosixPath(path).suffix.lower()))
    if other_folder := [path for path in paths if PurePosixPath(path).parent != PurePosixPath(paths[0]).parent]:
        first, second = sorted((paths[0], other_folder[0]))
        return paths[0], f"must say which file it is, {told(first)} or {told(second)}, by its folder"
    return paths[0], listing.fault(paths[0])


def part_of(path: str) -> str | None:
    """ "train" or "test", as the first folder says that is named so.

    >>> part_of("data/test_audio/a.wav"), part_of("trains/a.wav"), part_of("test.wav")
    ('test', None, None)
    """
    parts = (PART.match(folder) for folder in path.split("/")[:-1])
    return next((match[1].lower() for match in parts if match), None)
