import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kit.competition.competition import open_competition
from kit.competition.images import image_shape, pick_images
from kit.data.store import pack
from kit.demos.digits import make_digits


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    work = tmp_path_factory.mktemp("digits")
    return pack(open_competition(make_digits(work / "digits")), work / "cache", progress=False)


def test_every_digit_comes_back_as_it_was(store):
    digits = load_digits()
    assert image_shape(store) == (8, 1) and len(store.index) == 1797
    rows = store.index["id"].str.removeprefix("row ").astype(int).to_numpy()
    assert sorted(rows) == list(range(1797))
    levels = (pick_images(store, np.arange(1797)).numpy() * (16 / 255)).round()
    assert np.array_equal(levels, digits.images[rows])
    assert store.index["target"].tolist() == digits.target[rows].tolist()


def test_levels_by_hand(store):
    """The first digit's first row is 0 0 5 13 9 1 0 0 of 16; 5 · 255 / 16 = 79.7."""
    place = store.index["id"].tolist().index("row 0")
    assert pick_images(store, [place])[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_the_split_is_fixed_small_and_even(store):
    train = store.index.iloc[store.rows("train")]
    assert len(train) == 150 and train["target"].value_counts().between(14, 16).all()
    assert len(store.rows("test")) == 1647


def test_made_again_the_file_is_left_alone(tmp_path):
    path = make_digits(tmp_path, 40) / "digits.parquet"
    before = path.stat().st_mtime_ns
    assert make_digits(tmp_path, 40) == tmp_path and path.stat().st_mtime_ns == before
    make_digits(tmp_path, 50)
    assert len(open_competition(tmp_path).train) == 50


@pytest.mark.parametrize("n_train", [9, 1788])
def test_parts_without_every_class_are_refused(tmp_path, n_train):
    with pytest.raises(ValueError, match=f"n_train must be in 10 to 1787, got {n_train}"):
        make_digits(tmp_path, n_train)


def test_the_pixels_are_bytes(store):
    assert store.features.dtype == torch.uint8 and store.features.max() == 255
