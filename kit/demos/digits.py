"""The demo images: scikit-learn's 1,797 handwritten digits of 8 × 8, with few to train on and many to test on."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from kit.atomic import replacing

WHITE = 16  # the digits' highest level


def make_digits(folder: str | Path, n_train: int = 150) -> Path:
    """A folder of images as kit.competition.images reads it: n_train digits to train on, all others for the test.

    The split keeps the classes' shares and is always the same. Levels 0 to 16 become 0 to 255.
    Raises ValueError unless each part holds every class.
    """
    digits = load_digits()
    n_rows, n_classes = len(digits.target), len(digits.target_names)
    if not n_classes <= n_train <= n_rows - n_classes:
        raise ValueError(f"n_train must be in {n_classes} to {n_rows - n_classes}, got {n_train}")
    train, _ = train_test_split(np.arange(n_rows), train_size=n_train, stratify=digits.target, random_state=0)
    table = pa.table(
        {
            "split": np.where(np.isin(np.arange(n_rows), train), "train", "test"),
            "label": [str(label) for label in digits.target],
            "png": [_png(image) for image in np.round(digits.images * (255 / WHITE)).astype(np.uint8)],
        }
    )
    path = Path(folder) / "digits.parquet"
    if not path.exists() or not pq.read_table(path).equals(table):  # else the store's key would change each time
        with replacing(path) as beside:
            pq.write_table(table, beside)
    return path.parent


def _png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()
