import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from kit.data.inspect import _aucs, duplicates, label_from_metadata, summaries, train_test_auc
from kit.data.store import Store


@pytest.fixture
def store(tmp_path):
    """60 training and 30 test utterances of 10 frames of noise, 3 classes; nothing leaks."""
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((900, 4)).astype("float32"))
    names = np.random.default_rng(1).permutation(90)
    index = pd.DataFrame({"id": [f"{name:03d}" for name in names], "split": ["train"] * 60 + ["test"] * 30})
    index["label"] = [f"c{row % 3}" if row < 60 else None for row in range(90)]
    index["target"] = [row % 3 if row < 60 else -1 for row in range(90)]
    index["start"], index["frames"] = np.arange(90) * 10, 10
    return Store(tmp_path, features, index, "mel", ("c0", "c1", "c2"), None)


def test_clean_data_raises_no_suspicion(store):
    assert len(duplicates(store)) == 0
    leak, shift = label_from_metadata(store, permutations=19), train_test_auc(store)
    assert leak.low < 1 / 3 < leak.high and leak.p > 0.05
    assert shift.low < 0.5 < shift.high and shift.p > 0.05 and shift.low < shift.score


def test_an_utterance_in_both_parts_is_found(store):
    store.features[800:810] = store.features[20:30]
    found = duplicates(store)
    assert found[["id", "split", "same"]].to_numpy().tolist() == [[store.index["id"][80], "test", store.index["id"][2]]]


def test_a_label_that_follows_the_file_names_is_found(store):
    index = store.index.copy()
    index.loc[:59, "id"] = [f"{row % 3}{row:03d}" for row in range(60)]
    leak = label_from_metadata(replace(store, index=index), permutations=19)
    assert leak.score > 0.9 > leak.high and leak.p == 1 / 20  # none of 19 shuffled ones, and itself


def test_a_test_part_of_another_kind_is_found(store):
    store.features[600:] += 3
    shift = train_test_auc(store)
    assert shift.score > 0.95 > shift.high and shift.p < 0.01


def test_the_null_covers_what_it_should():
    """Of parts that are alike a p of 0.05 comes in a twentieth of cases, here of 40 within the binomial's 99.9 %."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        index = pd.DataFrame({"id": [f"{k}" for k in range(40)], "split": ["train"] * 20 + ["test"] * 20})
        index["start"], index["frames"] = np.arange(40) * 2, 2
        features = torch.from_numpy(rng.standard_normal((80, 3)).astype("float32"))
        found.append(train_test_auc(Store(None, features, index, "mel", ("a",), None), seed, permutations=99).p <= 0.05)
    assert sum(found) <= 7


def test_an_auc_is_sklearns(store):
    rng = np.random.default_rng(0)
    answers, said = (rng.random((30, 4)) < 0.4).astype(float), rng.integers(0, 9, (30, 4)).astype(float)  # with ties
    expected = [roc_auc_score(answers[:, k], said[:, k]) for k in range(4)]
    assert _aucs(answers, said) == pytest.approx(expected)


def test_too_few_rows_raise_no_suspicion_and_no_error(store):
    index = store.index.assign(label=[f"c{row}" for row in range(90)])
    assert math.isnan(label_from_metadata(replace(store, index=index)).score)
    index = store.index.assign(frames=[10] * 60 + [0] * 30)  # no test file could be read
    assert math.isnan(train_test_auc(replace(store, index=index)).p)


def test_a_summary_is_the_mean_and_the_deviation_of_each_bin(store):
    values = store.features[20:30].numpy()
    assert summaries(store, [2])[0] == pytest.approx([*values.mean(0), *values.std(0)], rel=1e-5)


def test_an_auc_of_one_answer_alone_is_nan_without_a_warning():
    answers = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert np.array_equal(
        _aucs(answers, np.array([0.2, 0.7])[:, None].repeat(3, 1)), [np.nan, np.nan, 1.0], equal_nan=True
    )
