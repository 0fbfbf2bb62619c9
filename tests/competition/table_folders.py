"""Small folders of contests that are tables, in the shape of the real ones."""

from pathlib import Path

import numpy as np
import soundfile

TAGS = ("Accelerating_and_revving_and_vroom", "Bark", "Bathtub_(filling_or_washing)", "Zipper_(clothing)")
CURATED = (("0006ae4e", "Bark"), ("0019ef41", "Bathtub_(filling_or_washing),Bark"), ("001ec0ad", "Bark"))
NOISY = (("00097e21", "Bathtub_(filling_or_washing)"), ("000b6cfb", "Bark,Accelerating_and_revving_and_vroom"))
BIRD_COLUMNS = (
    "rating,playback_used,ebird_code,channels,date,pitch,duration,filename,speed,species,number_of_notes,title,"
    "secondary_labels,bird_seen,sci_name,location,latitude,sampling_rate,type,elevation,description,bitrate_of_mp3,"
    "file_type,volume,background,xc_id,url,country,author,primary_label,longitude,length,time,recordist,license"
)
BIRDS = {"aldfly": "Empidonax alnorum_Alder Flycatcher", "ameavo": "Recurvirostra americana_American Avocet"}
BIRD_CLIPS = (
    # code, file, secondary labels, recordist
    ("aldfly", "XC134874", "[]", "Jonathon Jongsma"),
    ("aldfly", "XC135454", "['Recurvirostra americana_American Avocet', 'Turdus migratorius_American Robin']", "Mike"),
    ("ameavo", "XC99571", "[]", "Mike"),
    ("ameavo", "XC133080", "['Empidonax alnorum_Alder Flycatcher']", "Ann"),
)


def write_noise(path: Path, seconds: float, rate_hz: int = 16000) -> None:
    """Told apart by their names; the wave as MP3, Ogg or WAV by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.name.encode()))
    soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * rate_hz)), rate_hz)


def write_table(path: Path, *rows: object) -> None:
    """Fields with a comma are quoted."""
    lines = [",".join(f'"{field}"' if "," in str(field) else str(field) for field in row) for row in rows]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def make_freesound(folder: Path) -> Path:
    """freesound-audio-tagging-2019: lists joined by commas, in two tables, at 44.1 kHz."""
    for part, table in (("curated", CURATED), ("noisy", NOISY)):
        for name, _ in table:
            write_noise(folder / f"train_{part}/{name}.wav", 0.4, 44100)
        write_table(folder / f"train_{part}.csv", ("fname", "labels"), *((f"{name}.wav", tags) for name, tags in table))
    for name in ("000ccb97", "0012633b", "001ed5f1"):
        write_noise(folder / f"test/{name}.wav", 0.3, 44100)
    rows = [(path.name, *(["0"] * len(TAGS))) for path in sorted((folder / "test").iterdir())]
    write_table(folder / "sample_submission.csv", ("fname", *TAGS), *rows)
    return folder


def make_speech_commands(folder: Path) -> Path:
    """tensorflow-speech-recognition-challenge, unpacked: three speakers say two words of the ten and two others."""
    for word in ("yes", "stop", "bed", "happy"):
        for speaker in ("0a7c2a8d", "00b01445", "3efef882"):
            write_noise(folder / f"train/audio/{word}/{speaker}_nohash_0.wav", 1.0)
    for name, seconds in (("running_tap", 3.2), ("white_noise", 2.0)):
        write_noise(folder / f"train/audio/_background_noise_/{name}.wav", seconds)
    (folder / "train/audio/_background_noise_/README.md").write_text("Noise.\n")
    (folder / "train/validation_list.txt").write_text("yes/0a7c2a8d_nohash_0.wav\nbed/0a7c2a8d_nohash_0.wav\n")
    (folder / "train/testing_list.txt").write_text("stop/3efef882_nohash_0.wav\n")
    for name in ("clip_000044442", "clip_0000adecb", "clip_0000d4322"):
        write_noise(folder / f"test/audio/{name}.wav", 1.0)
    rows = [(path.name, "silence") for path in sorted((folder / "test/audio").iterdir())]
    write_table(folder / "sample_submission.csv", ("fname", "label"), *rows)
    return folder


def make_cornell(folder: Path, audio: bool = False) -> Path:
    """birdsong-recognition as a notebook sees it before it runs again, or with audio of the test."""
    columns = BIRD_COLUMNS.split(",")
    rows = []
    for code, name, secondary, author in BIRD_CLIPS:
        write_noise(folder / f"train_audio/{code}/{name}.mp3", 1.0, 32000)
        known = {
            "ebird_code": code, "filename": f"{name}.mp3", "secondary_labels": secondary, "primary_label": BIRDS[code],
            "author": author, "recordist": author, "xc_id": name[2:], "species": code.title(), "rating": "3.5",
        }  # fmt: skip
        rows.append([known.get(column, "Not specified") for column in columns])
    write_table(folder / "train.csv", columns, *rows)
    ids = [("site_1_aa_5", 5, "aa"), ("site_1_aa_10", 10, "aa"), ("site_3_bb", "", "bb")]
    write_table(
        folder / "test.csv",
        ("site", "row_id", "seconds", "audio_id"),
        *((name[:6], name, seconds, file) for name, seconds, file in ids),
    )
    write_table(folder / "sample_submission.csv", ("row_id", "birds"), *((name, "nocall") for name, *_ in ids))
    write_noise(folder / "example_test_audio/BLKFR-10-CPL_20190611_093000.pt540.mp3", 1.0, 32000)
    if audio:
        write_noise(folder / "test_audio/aa.mp3", 10.5, 32000)
        write_noise(folder / "test_audio/bb.mp3", 6.0, 32000)
    return folder


def make_columns(folder: Path) -> Path:
    """A column a class, of 0 and 1; names that look like numbers and words for nothing; a row without a class."""
    classes = ("nan", "007", "None")
    flags = {"a": (1, 0, 0), "b": (0, 1, 1), "c": (0, 0, 0), "d": (1, 1, 0), "e": (0, 0, 1), "f": (0, 1, 0)}
    for name in flags:
        write_noise(folder / f"audio/{name}.wav", 0.5)
    for name in ("x", "y"):
        write_noise(folder / f"audio/{name}.wav", 0.5)
    write_table(folder / "train.csv", ("clip", "site", *classes), *((f"{n}.wav", n, *v) for n, v in flags.items()))
    write_table(folder / "sample_submission.csv", ("clip", *classes), *((f"{name}.wav", 0, 0, 0) for name in "xy"))
    return folder
