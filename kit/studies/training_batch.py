"""What training sees and what the net makes of it: one batch of an experiment's first epoch, and the net's shapes."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kit.data.batch import Batch
from kit.data.features import n_bins
from kit.data.mixup import mix_drawer
from kit.data.store import Store
from kit.experiment import Experiment
from kit.training.fit import prepare_accelerator
from kit.training.fold import fold_of_rows
from kit.training.loader import train_loader
from kit.training.nets import build_net


def first_batch(experiment: Experiment, store: Store, fold: int = 0) -> Batch:
    """The first batch that training on all folds but `fold` sees, on the CPU: cut, masked and labelled by its own code.

    Mixtures of hidden layers are made in the net, and so are not in it.
    """
    folds, train = fold_of_rows(experiment, store), store.rows("train")
    others, held_out = train[folds != fold], train[folds == fold]
    net: Any = net_of(experiment, store)
    mixup = mix_drawer(
        experiment.mix, getattr(net, "mix_places", ()), getattr(net, "stage_names", ()), store.kind == "wave"
    )
    loader = train_loader(experiment, store, others, held_out, mixup, prepare_accelerator("fp32"))
    loader.batch_sampler.set_epoch(0)
    return next(iter(loader)).to("cpu")


def net_of(experiment: Experiment, store: Store) -> nn.Module:
    """The experiment's net as training begins with it, torch's random state left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(experiment.seed)
        return build_net(experiment, len(store.classes), n_bins(experiment.features, store, experiment.crop_frames))


def net_shapes(experiment: Experiment, store: Store, mel: Tensor) -> pd.DataFrame:
    """A row a stage of the net for a batch mel (B, T, F): what comes out, and how many parameters are trained in it."""
    net = net_of(experiment, store).eval()
    rows: list[tuple[str, str, str]] = [("log-mel", _shape(mel), "")]
    stages = dict(getattr(net, "stages", {})) | {
        name: getattr(net, name, None) for name in ("pooling", "hidden", "head")
    }
    stages = {name: stage for name, stage in stages.items() if stage is not None} or {"net": net}

    def told(name: str):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            rows.append((name, _shape(output), f"{sum(value.numel() for value in module.parameters()):,}"))

        return hook

    handles = [stage.register_forward_hook(told(name)) for name, stage in stages.items()]
    with torch.no_grad():
        net(mel)
    for handle in handles:
        handle.remove()
    rows.append(("all", "", f"{sum(value.numel() for value in net.parameters()):,}"))
    return pd.DataFrame(rows, columns=["stage", "comes out", "parameters"])


def _shape(output: Any) -> str:
    tensor = output[0] if isinstance(output, tuple) else output
    return " × ".join(map(str, tensor.shape)) if isinstance(tensor, Tensor) else type(output).__name__
