from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.inspect import duplicates, label_from_metadata, train_test_auc
from kit.data.store import Store


@pytest.fixture
def store(tmp_path):
    """60 training and 30 test utterances of 10 frames of noise, 3 classes; nothing leaks."""
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((900, 4)).astype("float32"))
    names = np.random.default_rng(1).permutation(90)
    index = pd.DataFrame({"id": [f"{name:03d}" for name in names], "split": ["train"] * 60 + ["test"] * 30})
    index["label"] = [f"c{row % 3}" if row < 60 else None for row in range(90)]
    index["start"], index["frames"] = np.arange(90) * 10, 10
    return Store(tmp_path, features, index, "mel", ("c0", "c1", "c2"), None)


def test_clean_data_raises_no_suspicion(store):
    assert len(duplicates(store)) == 0
    accuracy, chance = label_from_metadata(store)
    assert chance == pytest.approx(1 / 3) and accuracy < 0.55
    assert 0.3 < train_test_auc(store) < 0.7


def test_an_utterance_in_both_parts_is_found(store):
    store.features[800:810] = store.features[20:30]
    found = duplicates(store)
    assert found[["id", "split", "same"]].to_numpy().tolist() == [[store.index["id"][80], "test", store.index["id"][2]]]


def test_a_label_that_follows_the_file_names_is_found(store):
    index = store.index.copy()
    index.loc[:59, "id"] = [f"{row % 3}{row:03d}" for row in range(60)]
    accuracy, _ = label_from_metadata(replace(store, index=index))
    assert accuracy > 0.9


def test_a_test_part_of_another_kind_is_found(store):
    store.features[600:] += 3
    assert train_test_auc(store) > 0.95
