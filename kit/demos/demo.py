"""The demo competitions: synthetic voices with known truth, written in the layouts of real ones.

Every utterance is a function of (seed, speaker, number), so the same call gives the same bytes however many
processes make it. A folder is complete or absent: it is written beside, as `<folder>.part`, and renamed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
from tqdm.std import tqdm

from kit.data.features import LogMel, MelFilterbank
from kit.demos.publish import (
    DemoError,
    check_counts,
    draw_usage,
    hidden_name,
    in_parallel,
    publish,
    write_csv,
    write_json,
)
from kit.demos.tract import say_utterance, say_word
from kit.demos.voices import CODAS, ONSETS, PHONE_NAMES, SAMPLE_RATE_HZ, VOWELS, truth_at

VERSION = 1  # of the sounds: raise it when a change of the synthesiser changes the bytes
MOST_KEYWORDS = 500  # half the words of one syllable that there are
MEL = LogMel(sample_rate_hz=SAMPLE_RATE_HZ)


def make_voices(
    folder: str | Path,
    n_speakers: int = 40,
    n_train: int = 20,
    n_test: int = 10,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """A speaker identification competition in HW4's layout, with solution.csv, audio/ and truth/tracks.npz.

    n_train and n_test are utterances a speaker. A folder already made by the same call is kept as it is.
    Raises: DemoError for a bad number, or a folder that holds anything else.
    """
    made = {"demo": "voices", "n_speakers": n_speakers, "n_train": n_train, "n_test": n_test, "seed": seed}
    check_counts(made, {"n_speakers": 2, "n_train": 1, "n_test": 1, "seed": 0})

    def write(part: Path) -> None:
        _write_voices(part, n_speakers, n_train, n_test, seed, progress)

    return publish(Path(folder), {**made, "version": VERSION}, write)


def make_keywords(
    folder: str | Path,
    n_keywords: int = 32,
    n_speakers: int = 8,
    n_takes: int = 2,
    n_test_speakers: int = 6,
    n_syllables: int = 1,
    seed: int = 0,
) -> Path:
    """Spoken keywords of 1 s in a plain table's layout, with solution.csv; test speakers are not in training.

    Each speaker says each keyword n_takes times; words of one syllable are harder to tell apart than words of two.
    A folder already made by the same call is kept as it is.
    Raises: DemoError for a bad number, or a folder that holds anything else.
    """
    made = {"demo": "keywords", "n_keywords": n_keywords, "n_speakers": n_speakers, "n_takes": n_takes}
    made |= {"n_test_speakers": n_test_speakers, "n_syllables": n_syllables, "seed": seed}
    check_counts(made, {"n_keywords": 2, "n_speakers": 1, "n_takes": 1, "n_test_speakers": 1, "seed": 0})
    words = draw_keywords(n_keywords, seed, n_syllables)

    def write(part: Path) -> None:
        _write_keywords(part, words, n_speakers, n_test_speakers, n_takes, seed)

    return publish(Path(folder), {**made, "version": VERSION}, write)


def draw_keywords(n_keywords: int, seed: int, n_syllables: int) -> dict[str, tuple[str, ...]]:
    """Words of one or two syllables by their spelling: {"shaeloo": ("sh", "ae", "l", "oo"), ...}.

    Raises: DemoError for another number of syllables, or more words than there is room for.
    """
    if n_syllables not in (1, 2):
        raise DemoError(f"n_syllables must be 1 or 2, got {n_syllables!r}")
    if n_keywords > MOST_KEYWORDS:
        raise DemoError(f"n_keywords must be at most {MOST_KEYWORDS}, got {n_keywords}")
    rng = np.random.default_rng((seed, 0, 0, 0, 1))
    words: dict[str, tuple[str, ...]] = {}
    while len(words) < n_keywords:
        word = [str(rng.choice(names)) for names in (*(ONSETS, VOWELS) * n_syllables, CODAS)]
        word = tuple(word if rng.random() < 0.5 else word[:-1])
        words.setdefault("".join(word), word)
    return words


def _write_voices(part: Path, n_speakers: int, n_train: int, n_test: int, seed: int, progress: bool) -> None:
    n_each = n_train + n_test
    keys = [(seed, speaker, number) for speaker in range(n_speakers) for number in range(n_each)]
    (part / "audio").mkdir()
    to_mel, names, lengths, truths = MelFilterbank(MEL), [], [], []
    said = in_parallel(say_utterance, keys)
    for key, (wave, tracks) in zip(keys, tqdm(said, "voices", len(keys), disable=not progress), strict=True):
        name = "uttr-" + hidden_name("voices", *key)
        mel = to_mel(torch.from_numpy(wave / np.float32(32768))[None])[0]  # (T, F)
        soundfile.write(part / "audio" / f"{name}.flac", wave, SAMPLE_RATE_HZ)
        torch.save(mel, part / f"{name}.pt")
        names.append(f"{name}.pt")
        lengths.append(len(mel))
        centres = np.arange(len(mel)) * MEL.hop_samples + MEL.window_samples / 2
        truths.append(truth_at(tracks, centres / SAMPLE_RATE_HZ))
    _write_truth(part, names, lengths, truths)
    _write_hw4_tables(part, names, lengths, n_train, n_each, seed)


def _write_truth(part: Path, names: list[str], lengths: list[int], truths: list[dict[str, np.ndarray]]) -> None:
    """truth/tracks.npz: the tracks at the centres of the log-mel's frames, rows offset[u] to offset[u + 1] being
    utterance name[u]'s, and the names of phones."""
    (part / "truth").mkdir()
    tracks: dict[str, Any] = {track: np.concatenate([truth[track] for truth in truths]) for track in truths[0]}
    np.savez(
        part / "truth" / "tracks.npz",
        name=np.array(names),
        offset=np.cumsum([0, *lengths]),
        phone_names=np.array(PHONE_NAMES),
        vowels=np.array(VOWELS),
        **tracks,
    )


def _write_hw4_tables(part: Path, names: list[str], lengths: list[int], n_train: int, n_each: int, seed: int) -> None:
    speakers = [f"id{speaker:05d}" for speaker in range(len(names) // n_each)]
    items = [{"feature_path": name, "mel_len": length} for name, length in zip(names, lengths, strict=True)]
    of_speaker = {speaker: items[n * n_each : (n + 1) * n_each] for n, speaker in enumerate(speakers)}
    train = {speaker: mine[:n_train] for speaker, mine in of_speaker.items()}
    test = [(item, speaker) for speaker, mine in of_speaker.items() for item in mine[n_train:]]
    rng = np.random.default_rng((seed, 0, 0, 0, 2))
    test = [test[row] for row in rng.permutation(len(test))]
    mapping = {
        "speaker2id": {speaker: n for n, speaker in enumerate(speakers)},
        "id2speaker": {str(n): speaker for n, speaker in enumerate(speakers)},
    }
    write_json(part / "metadata.json", {"n_mels": MEL.n_mels, "speakers": train})
    write_json(part / "mapping.json", mapping)
    write_json(part / "testdata.json", {"n_mels": MEL.n_mels, "utterances": [item for item, _ in test]})
    solution = pd.DataFrame([(item["feature_path"], speaker) for item, speaker in test], columns=["Id", "Category"])
    write_csv(part / "solution.csv", solution.assign(Usage=draw_usage(len(test), rng)))


def _write_keywords(
    part: Path, words: dict[str, tuple[str, ...]], n_speakers: int, n_test_speakers: int, n_takes: int, seed: int
) -> None:
    rows = [
        (speaker, keyword, word, take)
        for word, keyword in enumerate(words)
        for speaker in range(n_speakers + n_test_speakers)
        for take in range(n_takes)
    ]
    said = in_parallel(
        say_word, [(seed, speaker, words[keyword], (word, take)) for speaker, keyword, word, take in rows]
    )
    train, test = [], []
    for folder in ("train", "test"):
        (part / folder).mkdir()
    for (speaker, keyword, word, take), (wave, _) in zip(rows, said, strict=True):
        if speaker < n_speakers:
            path = f"train/{keyword}-voice{speaker:02d}-{take:02d}.flac"
            train.append((path.removeprefix("train/"), keyword, f"voice{speaker:02d}"))
        else:
            path = f"test/{hidden_name('keywords', seed, speaker, word, take)[:12]}.flac"
            test.append((path.removeprefix("test/"), keyword))
        soundfile.write(part / path, wave, SAMPLE_RATE_HZ)
    write_csv(part / "train.csv", pd.DataFrame(train, columns=["file", "keyword", "speaker"]))
    rng = np.random.default_rng((seed, 0, 0, 0, 2))
    solution = pd.DataFrame(test, columns=["file", "keyword"]).iloc[rng.permutation(len(test))]
    write_csv(part / "solution.csv", solution.assign(Usage=draw_usage(len(test), rng)))
    write_csv(part / "sample_submission.csv", solution.assign(keyword=min(words)))
