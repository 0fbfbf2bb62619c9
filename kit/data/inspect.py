"""Could a score mislead? Identical utterances, labels that leak through metadata, a test part unlike the other."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedKFold, permutation_test_score
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from kit.data.store import Store

FOLDS = 3
PERMUTATIONS = 39  # of which p can't fall below 0.025


@dataclass(frozen=True)
class Suspicion:
    """A cross-validated score, and what the same model scores where the answers are shuffled.

    low and high hold the middle 95 % of the shuffled scores; p is the share of them, the score itself counted among
    them, that are as high (Ojala and Garriga 2010).
    """

    score: float
    low: float
    high: float
    p: float


UNKNOWN = Suspicion(math.nan, math.nan, math.nan, math.nan)


def duplicates(store: Store) -> pd.DataFrame:
    """Utterances whose features are identical: columns id, split, label, same (the first utterance that has them)."""
    keys = [hashlib.sha256(_features(store, row).tobytes()).digest() for row in range(len(store.index))]
    table = store.index[["id", "split", "label"]].assign(key=keys)
    table["same"] = table.groupby("key")["id"].transform("first")
    return table[table["id"] != table["same"]].drop(columns="key").reset_index(drop=True)


def label_from_metadata(store: Store, seed: int = 0, permutations: int = PERMUTATIONS) -> Suspicion:
    """Accuracy of the class from length and file name's order alone.

    Rows are shuffled over folds, so that neighbours in the list are on both sides: a leak shows at its worst. Classes
    with fewer rows than folds are left out; without two others the score is NaN.
    """
    train = store.index.iloc[store.rows("train")]
    train = train[train.groupby("label")["id"].transform("size") >= FOLDS]
    facts = np.stack([train["frames"], train["id"].rank()], axis=1)
    answers = train["target"].to_numpy()
    tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=seed)
    if len(np.unique(answers)) < 2:
        return UNKNOWN
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    score, shuffled, _ = permutation_test_score(
        tree, facts, answers, cv=folds, n_permutations=permutations, random_state=seed
    )
    return _suspicion(np.array(score), shuffled)


def train_test_auc(store: Store, seed: int = 0, most: int = 500, permutations: int = 10 * PERMUTATIONS) -> Suspicion:
    """How well the two parts can be told apart by each utterance's mean and deviation in every bin: 0.5 is not at all.

    At most `most` utterances of each part, drawn at random; NaN where a part has fewer than there are folds. The model
    is a ridge regression, which takes all permutations as columns of one fit.
    """
    generator = np.random.default_rng(seed)
    frames = store.index["frames"].to_numpy()
    drawn = [generator.permutation(rows[frames[rows] > 0])[:most] for rows in map(store.rows, ("train", "test"))]
    if min(map(len, drawn)) < FOLDS:
        return UNKNOWN
    is_test = np.repeat([0.0, 1.0], [len(rows) for rows in drawn])
    answers = np.stack([is_test, *(generator.permutation(is_test) for _ in range(permutations))], axis=1)  # (N, 1 + P)
    facts = StandardScaler().fit_transform(summaries(store, np.concatenate(drawn)))
    scores = []
    for others, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(facts, is_test):
        said = Ridge(alpha=0.1 * len(others)).fit(facts[others], answers[others]).predict(facts[held_out])
        scores.append(_aucs(answers[held_out], said))
    return _suspicion(*np.split(np.nanmean(scores, axis=0), [1]))


def summaries(store: Store, rows: list[int] | np.ndarray) -> np.ndarray:
    """Each row's mean and standard deviation over time in every bin, (N, 2F)."""
    values = [store.recording(int(row)).numpy() for row in rows]
    return np.stack([np.concatenate([one.mean(0), one.std(0)]) for one in values])


def _aucs(answers: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of each column (N, K): Mann and Whitney's share of pairs in the right order.

    NaN where a column has one of the two answers alone.
    """
    positive = answers.sum(0)
    ranks = (rankdata(said, axis=0) * answers).sum(0) - positive * (positive + 1) / 2
    pairs = positive * (len(answers) - positive)
    return np.divide(ranks, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _suspicion(score: np.ndarray, shuffled: np.ndarray) -> Suspicion:
    low, high = np.quantile(shuffled, [0.025, 0.975])
    p = (1 + (shuffled >= score).sum()) / (1 + len(shuffled))
    return Suspicion(float(np.squeeze(score)), float(low), float(high), float(p))


def _features(store: Store, row: int) -> np.ndarray:
    start, size = store.index["start"].iat[row], store.index["frames"].iat[row]
    return store.stretch(int(start), int(size)).numpy()
