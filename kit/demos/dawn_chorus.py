"""The demo dawn chorus: made-up recordings in BirdCLEF 2026's exact layout, with the hidden test beside it.

`hidden/` is what Kaggle keeps to itself: the test soundscapes, the full sample, the solution, and every call of every
soundscape. `rerun(folder, to)` plays Kaggle's second run: the same folder with the test in its place. Every recording
is a function of (seed, number).
"""

import shutil
from pathlib import Path

import pandas as pd
from tqdm.std import tqdm

from kit.atomic import link, making
from kit.demos.chorus_recordings import draw_microphone, labels_of_windows, make_clip, make_soundscape
from kit.demos.chorus_sites import SITES
from kit.demos.chorus_tables import (
    Clip,
    Soundscape,
    clip_table,
    label_table,
    plan_clips,
    plan_soundscapes,
    taxonomy_table,
    window_table,
)
from kit.demos.chorus_voices import draw_voices
from kit.demos.ogg import write_ogg
from kit.demos.publish import DemoError, check_counts, in_parallel, publish, write_csv
from kit.demos.soundscape import Call

VERSION = 1  # of the sounds: raise it when a change of the synthesiser changes the bytes
RATE_HZ = 32000
README = "Some recordings will be here when your notebook runs again. Each is {seconds:g} s long, in OGG at 32 kHz.\n"


def make_dawn_chorus(
    folder: str | Path,
    n_clips: int = 200,
    n_unlabelled: int = 40,
    n_labelled: int = 12,
    n_hidden: int = 24,
    seconds: float = 60.0,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """20 classes with a long tail, two of them without a clip, in one-channel OGG recordings of four sites.

    seconds is the length of the soundscapes. A folder already made by the same call is kept as it is.
    Raises: DemoError for a bad number, or a folder that holds anything else.
    """
    made = {"demo": "dawn chorus", "n_clips": n_clips, "n_unlabelled": n_unlabelled, "n_labelled": n_labelled}
    made |= {"n_hidden": n_hidden, "seconds": seconds, "seed": seed, "version": VERSION}
    least = {"n_clips": len(draw_voices(0)), "n_unlabelled": 0, "n_labelled": 1, "n_hidden": 2, "seed": 0}
    check_counts(made, least)
    if seconds % 5 or not 10 <= seconds <= 600:
        raise DemoError(f"seconds must be whole windows of 5 s in [10, 600], got {seconds!r}")

    def write(part: Path) -> None:
        clips = plan_clips(seed, n_clips)
        soundscapes = plan_soundscapes(seed, {"labelled": n_labelled, "unlabelled": n_unlabelled, "hidden": n_hidden})
        _write(part, clips, soundscapes, seconds, seed, progress)

    return publish(Path(folder), made, write)


def rerun(folder: str | Path, to: str | Path) -> Path:
    """The folder as Kaggle's second run sees it, made at `to`: the hidden soundscapes in test_soundscapes/, the full
    sample, and solution.csv to score a submission by. Recordings are linked, not copied, where the disk can.

    One that is there already is kept. Raises: DemoError where `folder` holds no dawn chorus.
    """
    folder, to = Path(folder), Path(to)
    if not (folder / "hidden" / "solution.csv").is_file():
        raise DemoError(f"folder must hold a demo dawn chorus, got {folder}")
    if to.exists():
        return to
    with making(to) as part:
        shutil.copytree(folder, part, copy_function=link, ignore=shutil.ignore_patterns("hidden"), dirs_exist_ok=True)
        for path in sorted((folder / "hidden").rglob("*.*")):
            target = part / path.relative_to(folder / "hidden")
            target.unlink(missing_ok=True)
            link(path, target)
    return to


def _write(
    part: Path, clips: list[Clip], soundscapes: list[Soundscape], seconds: float, seed: int, progress: bool
) -> None:
    for path in (*(part / "train_audio" / clip.name for clip in clips), *(part / item.path for item in soundscapes)):
        path.parent.mkdir(parents=True, exist_ok=True)
    keys = [(part, seed, item, seconds) for item in (*clips, *soundscapes)]
    calls = list(tqdm(in_parallel(_record, keys), "dawn chorus", len(keys), disable=not progress))[len(clips) :]
    voices = draw_voices(seed)
    write_csv(part / "train.csv", clip_table(clips, voices, seed))
    write_csv(part / "taxonomy.csv", taxonomy_table(voices))
    heard = {item.path: labels_of_windows(called, seconds) for item, called in zip(soundscapes, calls, strict=True)}
    labelled = [item for item in soundscapes if item.part == "labelled"]
    write_csv(part / "train_soundscapes_labels.csv", label_table(labelled, heard, voices))
    truth = window_table([item for item in soundscapes if item.part == "hidden"], heard, voices)
    _write_test(part, truth, seconds)
    write_csv(part / "hidden" / "calls.csv", _call_table(soundscapes, calls, voices))
    sites = "".join(f"{site.name}: a recorder that this demo makes up\n" for site in SITES)
    (part / "recording_location.txt").write_text(sites)


def _record(part: Path, seed: int, item: Clip | Soundscape, seconds: float) -> list[Call]:
    """Write one recording; its calls."""
    if isinstance(item, Clip):
        microphone = draw_microphone(seed, item.author)
        others = item.secondary + item.unnamed
        wave, calls = make_clip(seed, item.number, item.label, others, item.seconds, RATE_HZ, microphone)
        write_ogg(part / "train_audio" / item.name, wave, RATE_HZ, item.number)
    else:
        wave, calls = make_soundscape(seed, item.number, item.site, item.hour, seconds, RATE_HZ)
        write_ogg(part / item.path, wave, RATE_HZ, item.number)
    return calls


def _write_test(part: Path, truth: pd.DataFrame, seconds: float) -> None:
    """The sample of three rows, as is seen; the full one and the solution, as is hidden."""
    classes = list(truth.columns[1:-1])
    sample = truth.drop(columns="Usage").assign(**{name: 1 / len(classes) for name in classes})
    shown = sample.head(3).assign(row_id=[f"BC2026_Test_0001_S03_20250301_060002_{end}" for end in (5, 10, 15)])
    (part / "test_soundscapes").mkdir()
    (part / "test_soundscapes" / "readme.txt").write_text(README.format(seconds=seconds))
    write_csv(part / "sample_submission.csv", shown)
    write_csv(part / "hidden" / "sample_submission.csv", sample)
    write_csv(part / "hidden" / "solution.csv", truth)


def _call_table(soundscapes: list[Soundscape], calls: list[list[Call]], voices) -> pd.DataFrame:
    rows = [
        (item.path.rpartition("/")[2], voices[call.species].label, round(call.t_min, 3), round(call.t_max, 3),
         round(call.f_min, 1), round(call.f_max, 1), round(call.level_db, 1))
        for item, heard in zip(soundscapes, calls, strict=True)
        for call in sorted(heard, key=lambda call: call.t_min)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["filename", "label", "t_min", "t_max", "f_min", "f_max", "level_db"])
