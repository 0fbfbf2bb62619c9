"""Could a score mislead? Identical utterances, labels that leak through metadata, a test part unlike the other."""

import hashlib

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from kit.data.store import Store

FOLDS = 3


def duplicates(store: Store) -> pd.DataFrame:
    """Utterances whose features are identical: columns id, split, label, same (the first utterance that has them)."""
    keys = [hashlib.sha256(_features(store, row).tobytes()).digest() for row in range(len(store.index))]
    table = store.index[["id", "split", "label"]].assign(key=keys)
    table["same"] = table.groupby("key")["id"].transform("first")
    return table[table["id"] != table["same"]].drop(columns="key").reset_index(drop=True)


def label_from_metadata(store: Store, seed: int = 0) -> tuple[float, float]:
    """Cross-validated accuracy of the class from length and file name's order alone, and the commonest class's share.

    Rows are shuffled over folds, so that neighbours in the list are on both sides: a leak shows at its worst.
    """
    train = store.index.iloc[store.rows("train")]
    facts = np.stack([train["frames"], train["id"].rank()], axis=1)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=seed)
    accuracy = cross_val_score(tree, facts, train["label"], cv=folds).mean()
    return float(accuracy), float(train["label"].value_counts(normalize=True).max())


def train_test_auc(store: Store, seed: int = 0, most: int = 1000) -> float:
    """How well the two parts can be told apart by each utterance's mean and deviation in every bin: 0.5 is not at all.

    At most `most` utterances of each part, drawn at random.
    """
    generator = np.random.default_rng(seed)
    rows, part = [], []
    for number, split in enumerate(("train", "test")):
        found = store.rows(split)
        rows += generator.permutation(found)[:most].tolist()
        part += [number] * min(most, len(found))
    facts = np.stack([_summary(store.recording(row).numpy()) for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(model, facts, part, cv=folds, scoring="roc_auc").mean())


def _features(store: Store, row: int) -> np.ndarray:
    start, size = store.index["start"].iat[row], store.index["frames"].iat[row]
    return store.features[start : start + size].numpy()


def _summary(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features.mean(0), features.std(0)])
