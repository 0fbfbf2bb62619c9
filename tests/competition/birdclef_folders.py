"""Small folders of BirdCLEF's three years, of five classes, with what is odd about the real ones."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

RATE = 32000
CLASSES = ("1161364", "22930", "25073", "47158son01", "asbfly")  # text, though three look like numbers
CLIPS_2024 = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,license,rating,url,"
    "filename\n"
)
CLIPS_2025 = (
    "primary_label,secondary_labels,type,filename,collection,rating,url,latitude,longitude,scientific_name,"
    "common_name,author,license\n"
)
CLIPS_2026 = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,class_name,inat_taxon_id,"
    "author,license,rating,url,filename,collection\n"
)
CLIPS = (
    # label, secondary labels, author, file in train_audio/, seconds
    ("asbfly", "[]", "Ann Lee", "asbfly/XC134896.ogg", 2.0),
    ("asbfly", "['22930', 'nobird']", "ann lee ", "asbfly/XC1.ogg", 1.5),
    ("22930", "['1161364', '22930']", "Unknown", "22930/iNat7.ogg", 2.0),
    ("22930", "[]", "", "22930/iNat8.ogg", 0.3),
    ("1161364", "[]", "Bo", "1161364/iNat1216197.ogg", 2.0),
)
SOUNDSCAPES = ("S05_20250227_010002", "S22_20250301_235900", "S22_20250302_120000")
LABELS = (
    # 0 to 5 s of the first twice, as all of 2026's rows are, and once with another label; 10 to 15 s without a row
    ("BC2026_Train_0001_S05_20250227_010002.ogg", "00:00:00", "00:00:05", "asbfly;47158son01"),
    ("BC2026_Train_0001_S05_20250227_010002.ogg", "00:00:05", "00:00:10", "22930"),
    ("BC2026_Train_0001_S05_20250227_010002.ogg", "00:00:00", "00:00:05", "asbfly;1161364"),
    ("BC2026_Train_0001_S05_20250227_010002.ogg", "00:00:05", "00:00:10", "22930"),
    ("BC2026_Train_0002_S22_20250301_235900.ogg", "00:00:10", "00:00:15", "asbfly"),
)


def write_noise(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.name.encode()))
    soundfile.write(path, 0.05 * rng.standard_normal(round(seconds * RATE), dtype=np.float32), RATE)


def make_birdclef(folder: Path, year: int, more: int = 0) -> Path:
    """A folder as a notebook sees it before it runs again: of the test, three rows and no audio.

    more: clips beside CLIPS, of two classes by turns and of other authors.
    """
    labels = ("asbfly", "22930")
    clips = [*CLIPS, *((labels[i % 2], "[]", f"Cy {i}", f"{labels[i % 2]}/more{i}.ogg", 1.2) for i in range(more))]
    for *_, name, seconds in clips:
        write_noise(folder / "train_audio" / name, seconds)
    {2024: _make_2024, 2025: _make_2025, 2026: _make_2026}[year](folder, clips)
    (folder / "test_soundscapes").mkdir()
    (folder / "test_soundscapes" / "readme.txt").write_text("Some 600 recordings will be here.\n")
    write_sample(folder, [f"soundscape_1446779_{end}" for end in (5, 10, 15)])
    return folder


def write_sample(folder: Path, row_ids: list[str], classes: Sequence[str] = CLASSES) -> None:
    rows = [",".join([name, *(["0.2"] * len(classes))]) for name in row_ids]
    (folder / "sample_submission.csv").write_text("\n".join([",".join(["row_id", *classes]), *rows, ""]))


def _make_2024(folder: Path, clips: Sequence[tuple]) -> None:
    rows = [
        f'{label},"{others}","[\'call\']",1.5,77.0,X y,A bird,{author},CC,3.5,https://xeno-canto.org/1,{name}'
        for label, others, author, name, _ in clips
    ]
    (folder / "train_metadata.csv").write_text(CLIPS_2024 + "\n".join(rows) + "\n")
    birds = "".join(f"1,species,{name},A bird,X y,Order,Family,,\n" for name in ("ostric2", *CLASSES))
    head = "TAXON_ORDER,CATEGORY,SPECIES_CODE,PRIMARY_COM_NAME,SCI_NAME,ORDER1,FAMILY,SPECIES_GROUP,REPORT_AS\n"
    (folder / "eBird_Taxonomy_v2021.csv").write_text(head + birds)
    write_noise(folder / "unlabeled_soundscapes" / "460830.ogg", 12.0)


def _make_2025(folder: Path, clips: Sequence[tuple]) -> None:
    rows = [
        f"{label},\"{others}\",['song'],{name},XC,3.5,https://xeno-canto.org/1,1.5,-77.0,X y,A bird,{author},CC"
        for label, others, author, name, _ in clips
    ]
    (folder / "train.csv").write_text(CLIPS_2025 + "\n".join(rows).replace("[]", "['']") + "\n")
    write_taxonomy(folder)
    (folder / "recording_location.txt").write_text("Location: somewhere\n")
    write_noise(folder / "train_soundscapes" / "H02_20230420_112000.ogg", 15.0)


def _make_2026(folder: Path, clips: Sequence[tuple]) -> None:
    rows = [
        f'{label},"{others}",[],-16.5,-56.5,X y,A bird,Aves,{number},{author},CC,0.0,https://a.b,{name},iNat'
        for number, (label, others, author, name, _) in enumerate(clips)
    ]
    (folder / "train.csv").write_text(CLIPS_2026 + "\n".join(rows) + "\n")
    write_taxonomy(folder)
    for number, name in enumerate(SOUNDSCAPES, 1):
        write_noise(folder / "train_soundscapes" / f"BC2026_Train_{number:04}_{name}.ogg", 15.0)
    rows = [",".join(row) for row in LABELS]
    (folder / "train_soundscapes_labels.csv").write_text("\n".join(["filename,start,end,primary_label", *rows, ""]))


def write_taxonomy(folder: Path, classes: Sequence[str] = CLASSES) -> None:
    rows = [f"{name},{number},X y,A bird,Aves\n" for number, name in enumerate(classes)]
    (folder / "taxonomy.csv").write_text(
        "primary_label,inat_taxon_id,scientific_name,common_name,class_name\n" + "".join(rows)
    )


def as_year(demo: Path, folder: Path, year: int) -> Path:
    """A copy of a demo dawn chorus in the shape of 2024 or 2025: no window of a soundscape is annotated."""
    shutil.copytree(demo, folder, ignore=shutil.ignore_patterns("hidden", "train_soundscapes_labels.csv"))
    clips = pd.read_csv(folder / "train.csv", dtype=str, keep_default_na=False)
    (folder / "train.csv").unlink()
    for number, path in enumerate(sorted((folder / "train_soundscapes").iterdir())):
        name = f"{460830 + number}.ogg" if year == 2024 else path.name.split("_", 3)[-1]  # 2025: site, day, hour
        path.rename(path.with_name(name))
    file, head = ("train_metadata.csv", CLIPS_2024) if year == 2024 else ("train.csv", CLIPS_2025)
    clips.reindex(columns=head.strip().split(","), fill_value="").to_csv(folder / file, index=False)
    if year == 2024:
        (folder / "train_soundscapes").rename(folder / "unlabeled_soundscapes")
        classes = pd.read_csv(folder / "taxonomy.csv", dtype=str)["primary_label"]
        (folder / "taxonomy.csv").unlink()
        pd.DataFrame({"SPECIES_CODE": ["ostric2", *classes]}).to_csv(folder / "eBird_Taxonomy_v2021.csv", index=False)
    return folder
