import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from kit.competition import images
from kit.competition.competition import open_competition
from kit.competition.images import image_shape, pick_images
from kit.competition.listing import CompetitionError
from kit.data.crops import RandomCrops, WholeClips
from kit.data.dataset import SpectrogramDataset, Training
from kit.data.store import open_store, pack

# Two rows of two pixels in red, green, blue.
COLOURS = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [250, 251, 252]]], np.uint8)
GREY = np.array([[0, 1, 2], [3, 4, 5], [253, 254, 255]], np.uint8)


def encoded(pixels, kind="PNG", **options):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def table(pixels=GREY, **changes):
    """Two training rows, one test row between them."""
    columns = {"split": ["train", "test", "train"], "label": ["b", "a", "a"]}
    return pa.table({**columns, "png": [encoded(pixels), encoded(pixels[::-1]), encoded(pixels // 2)], **changes})


def written(folder, content=None, name="some.parquet"):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table() if content is None else content, folder / name)
    return folder


def class_folders(folder, train="abab", test="ba", pixels=COLOURS):
    for split, labels in (("train", train), ("test", test)):
        for number, label in enumerate(labels):
            path = folder / split / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(pixels + np.uint8(number)))
    return folder


def packed(folder, tmp_path):
    return pack(open_competition(folder), tmp_path / "cache", progress=False)


def refused(folder, tmp_path, message):
    with pytest.raises(CompetitionError, match=message):
        packed(folder, tmp_path)


def test_pixels_in_colour_become_rows_by_hand(tmp_path):
    store = packed(written(tmp_path / "a", table(COLOURS)), tmp_path)
    rows = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 250, 251, 252]], dtype=torch.uint8)
    assert store.features.dtype == torch.uint8 and store.features.shape == (6, 6)
    assert torch.equal(pick_images(store, store.rows("train")), torch.stack([rows, rows // 2]))
    assert torch.equal(pick_images(store, store.rows("test"))[0], rows.flip(0))
    assert image_shape(store) == (2, 3) and store.kind == "mel" and store.mel is None


def test_grey_pixels_labels_and_parts_are_where_the_index_says(tmp_path):
    store = packed(written(tmp_path / "a"), tmp_path)
    assert store.classes == ("a", "b")
    assert store.index["id"].tolist() == ["row 0", "row 2", "row 1"]
    assert store.index["split"].tolist() == ["train", "train", "test"]
    assert store.index["target"].tolist() == [1, 0, 0], "labels of the test part are known"
    assert image_shape(store) == (3, 1)
    assert torch.equal(pick_images(store, [0])[0], torch.from_numpy(GREY))


def test_the_store_is_mapped_and_opened_again_not_packed_again(tmp_path):
    folder = written(tmp_path / "a")
    store = packed(folder, tmp_path)
    before = (store.folder / "features.bin").stat().st_mtime_ns
    assert (store.folder / "features.bin").stat().st_size == 3 * 3 * 3
    assert packed(folder, tmp_path).folder == store.folder
    assert (store.folder / "features.bin").stat().st_mtime_ns == before
    assert torch.equal(open_store(store.folder).features, store.features)


def test_a_folder_a_class_of_files(tmp_path):
    store = packed(class_folders(tmp_path / "a"), tmp_path)
    found = store.index.set_index("id")
    assert found.loc["train/b/3.png", ["split", "label", "target"]].tolist() == ["train", "b", 1]
    assert found.loc["test/b/0.png", ["split", "label", "target"]].tolist() == ["test", "b", 1]
    assert len(found) == 6
    place = store.index["id"].tolist().index("train/a/2.png")
    assert torch.equal(pick_images(store, [place])[0], torch.from_numpy((COLOURS + np.uint8(2)).reshape(2, 6)))


@pytest.mark.parametrize("column", ["jpeg", "image"])
def test_other_names_of_the_column_and_jpeg(tmp_path, column):
    flat = np.full((8, 8, 3), 77, np.uint8)
    content = table().drop_columns("png").append_column(column, [[encoded(flat, "JPEG", quality=95)] * 3])
    store = packed(written(tmp_path / "a", content), tmp_path)
    assert (store.features.float() - 77).abs().max() <= 1


def test_a_training_batch_is_the_pixels_as_numbers(tmp_path):
    store = packed(written(tmp_path / "a"), tmp_path)
    for crop, training in ((RandomCrops(3), Training()), (WholeClips(), None)):
        dataset = SpectrogramDataset(store, store.rows("train"), crop, training=training)
        batch = dataset.__getitems__([1, 0])
        assert batch.mask is None and batch.mel.dtype == torch.float32
        assert torch.equal(batch.mel, pick_images(store, [1, 0]).float()) and batch.target.tolist() == [0, 1]


def test_cifar_opens(shared_data):
    competition = open_competition(shared_data / "cifar10")
    assert (len(competition.train), len(competition.test), len(competition.classes)) == (50_000, 10_000, 10)
    assert (competition.train["label"].value_counts() == 5_000).all()


def test_a_test_image_that_can_not_be_read_costs_its_own_row(tmp_path):
    folder = class_folders(tmp_path / "a", test="bab")
    (folder / "test/a/1.png").write_bytes(b"noise")
    store = packed(folder, tmp_path)
    assert store.faults().to_numpy().tolist() == [
        ["test/a/1.png", "not a PNG or JPEG that can be read (UnidentifiedImageError)"]
    ]
    assert image_shape(store) == (2, 3) and len(store.features) == 2 * 6
    bad = store.index["id"].tolist().index("test/a/1.png")
    good = store.index["id"].tolist().index("test/b/2.png")
    assert torch.equal(pick_images(store, [good])[0], torch.from_numpy((COLOURS + np.uint8(2)).reshape(2, 6)))
    with pytest.raises(ValueError, match="rows must be of images that can be read, got test/a/1.png"):
        pick_images(store, [good, bad])


def test_what_notebooks_and_file_managers_leave_is_no_class(tmp_path):
    folder = class_folders(tmp_path / "a")
    for path in ("train/.ipynb_checkpoints/0.png", "train/a/._0.png", "__MACOSX/train/c/0.png", "train/__MACOSX/0.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"\0\5\26\7")
    (folder / ".some.parquet").write_bytes(b"\0")
    competition = open_competition(folder)
    assert competition.classes == ("a", "b") and len(competition.train) == 4
    packed(folder, tmp_path)


def test_a_class_that_looks_like_one_of_train_is_told(tmp_path):
    folder = class_folders(tmp_path / "a", test="bA")
    with pytest.raises(CompetitionError, match="label 'A' is in the test part alone, where train has 'a'"):
        open_competition(folder)


class TestRefused:
    def test_a_bad_image_is_named_with_its_row(self, tmp_path):
        content = [encoded(GREY), encoded(GREY), b"\x89PNG\r\n\x1a\n and then noise"]
        rule = r"1 problem\n  row 2 \(some.parquet\): not a PNG or JPEG that can be read"
        refused(written(tmp_path / "a", table(png=content)), tmp_path, rule)

    def test_a_bad_file_is_named(self, tmp_path):
        folder = class_folders(tmp_path / "a")
        (folder / "train/a/2.png").write_bytes(b"")
        (folder / "train/b/1.png").write_bytes(encoded(COLOURS)[:40])
        refused(folder, tmp_path, r"2 problems\n  .*train/a/2.png\): holds no image\n  .*b/1.png\): not a PNG or JPEG")

    @pytest.mark.parametrize(
        ("content", "rule"),
        [
            (None, "holds no image"),
            (encoded(GREY[:2]), "must be square, of at most 256 pixels a side, got 2 x 3"),
            (encoded(np.zeros((257, 257), np.uint8)), "must be square, of at most 256 pixels a side, got 257 x 257"),
            (encoded(np.zeros((3, 3, 4), np.uint8)), r"must be grey or RGB of 8 bits \(mode L or RGB\), got mode RGBA"),
            (encoded(np.zeros((3, 3), np.uint16)), r"must be grey or RGB of 8 bits .*, got mode I;16"),
            (encoded(GREY, "BMP"), "not a PNG or JPEG that can be read"),
            (encoded(COLOURS), "must be 3 x 3 with 1 channels, as the first image is, got 2 x 2 with 3 channels"),
            (encoded(np.zeros((3, 3, 3), np.uint8)), "must be 3 x 3 with 1 channels, as the first image is, got 3 x 3"),
        ],
        ids=["null", "oblong", "large", "alpha", "16 bits", "bmp", "other size", "other channels"],
    )  # fmt: skip
    def test_other_images(self, tmp_path, content, rule):
        folder = written(tmp_path / "a", table(png=pa.array([encoded(GREY), encoded(GREY), content], pa.binary())))
        refused(folder, tmp_path, rf"row 2 \(some.parquet\): {rule}")

    @pytest.mark.parametrize(
        ("content", "rule"),
        [
            (table().drop_columns("label"), "columns split, label and one of jpeg, png, image, got split, png"),
            (table().drop_columns("png"), "columns split, label and one of jpeg, png, image, got split, label"),
            (table(image=[b"", b"", b""]), "one of jpeg, png, image, got split, label, png, image"),
            (table(label=[1, 2, 3]), "column label must hold text, got int64"),
            (table(png=["a", "b", "c"]), "column png must hold bytes, got string"),
            (table(split=["train", "x", "train"]), r"row 1 \(some.parquet\): split must be train or test, got 'x'"),
            (table(split=["train", None, "train"]), r"row 1 \(some.parquet\): split must be train or test, got ''"),
            (table(label=["a", "b", ""]), r"row 2 \(some.parquet\): label is empty"),
            (table(label=["a", "a", "a"]), "some.parquet: must have at least two classes in its train part, got 1"),
            (table(label=["a", "c", "b"]), "some.parquet: label 'c' is in the test part alone"),
            (table(split=["train"] * 3), "some.parquet: must have a test part, got no row of it"),
            (table(label=["a", "a", "fold"]), "no class may be named id, fold, label, group, counts, got fold"),
        ],
    )  # fmt: skip
    def test_other_tables(self, tmp_path, content, rule):
        refused(written(tmp_path / "a", content), tmp_path, rule)

    def test_what_is_no_parquet_file(self, tmp_path):
        folder = written(tmp_path / "a")
        (folder / "some.parquet").write_bytes(b"PAR1 and then noise PAR1")
        refused(folder, tmp_path, "some.parquet: not a parquet file that can be read")

    def test_damage_behind_a_whole_footer(self, tmp_path):
        folder = written(tmp_path / "a")
        content = bytearray((folder / "some.parquet").read_bytes())
        content[4:120] = bytes(116)
        (folder / "some.parquet").write_bytes(content)
        refused(folder, tmp_path, r"some.parquet: not a parquet file that can be read|problem")

    def test_files_that_are_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr(images, "MOST_IMAGE_BYTES", 10)
        rule = r"file \(train/a/0.png\): must have at most 10 bytes, got \d\d"
        refused(class_folders(tmp_path / "a"), tmp_path, rule)
        monkeypatch.setattr(images, "MOST_BYTES", 100)
        refused(written(tmp_path / "b"), tmp_path, "some.parquet: must unpack to at most 100 bytes, got")

    def test_folders_without_images(self, tmp_path, voices):
        (tmp_path / "train").mkdir()
        refused(tmp_path, tmp_path, "no layout that is known here")
        written(tmp_path / "a")
        shutil.copy(tmp_path / "a/some.parquet", tmp_path / "a/other.parquet")
        refused(tmp_path / "a", tmp_path, "no layout that is known here")
        with pytest.raises(ValueError, match="must be square images of one size, got rows of 40 numbers"):
            image_shape(pack(voices, tmp_path / "cache", progress=False))

    def test_waves_of_images(self, tmp_path):
        with pytest.raises(ValueError, match='kind "wave" needs audio files, and .* has none'):
            pack(open_competition(written(tmp_path / "a")), tmp_path / "cache", kind="wave", progress=False)
