"""The audio files that a table's ids stand for: with or without a suffix, in any letter case, below a folder or not."""

from pathlib import PurePosixPath

from kit.competition.listing import Listing
from kit.competition.names import told

# What libsndfile reads, in the order in which files of one name are preferred.
AUDIO = (
    ".flac", ".wav", ".ogg", ".mp3", ".opus", ".oga", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64",
)  # fmt: skip
FOREIGN = (".aac", ".m4a", ".m4b", ".mka", ".mp4", ".webm", ".wma", ".amr", ".ape")  # what it does not read


def convert_hint(path: str) -> str:
    """How to make a file that can be read of one that libsndfile does not know."""
    name = PurePosixPath(path)
    return f"convert it, as by ffmpeg -i {name.name} {name.stem}.flac"


def is_audio(path: str) -> bool:
    return path.lower().endswith(AUDIO)


def find_audio(listing: Listing, name: str, folder: str) -> tuple[str, str | None]:
    """The path of the audio file that `name` stands for, and the rule that it breaks, or None.

    Looked for, in this order: folder/name, name, and both with one of the suffixes of AUDIO.
    """
    if rule := listing.path_fault(name):
        return name, rule
    guesses = [str(PurePosixPath(guess)) for guess in (f"{folder}/{name}", name)]  # a file has one spelling
    for guess in guesses:
        if path := listing.match(guess):
            return path, listing.fault(path)
    beside = [path for guess in guesses for path in listing.with_stem(guess)]
    if found := sorted(filter(is_audio, beside), key=lambda path: AUDIO.index(PurePosixPath(path).suffix.lower())):
        return found[0], listing.fault(found[0])
    if foreign := [path for path in beside if path.lower().endswith(FOREIGN)]:
        return foreign[0], f"{told(foreign[0])} is not audio that can be read here: {convert_hint(foreign[0])}"
    rule = listing.fault(guesses[0])
    if rule == "the file is empty":  # of a folder, which match does not know
        return guesses[0], rule
    return guesses[0], f"{rule}: looked for {guesses[0]}" if rule.startswith("no such") else rule
