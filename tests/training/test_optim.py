"""Groups of parameters beside timm's own, rates worked out by hand, and optimisers of one's own."""

import dataclasses
import re

import pandas as pd
import pytest
import timm.optim
import torch
from torch import nn

from kit.models.conformer import Conformer
from kit.models.heads import Cosine, Linear
from kit.models.net import Net
from kit.models.pooling import GeM, Statistics
from kit.models.timm_backbone import Timm
from kit.parts import Part
from kit.training.fit import fit
from kit.training.optim import AdamW, TimmOptimizer, build_optimizer, param_groups

TWO_LAYERS = Net(Conformer(width=16, layers=2, heads=2, ff_width=32, kernel_size=5), Statistics(8))


def net_of(parts):
    return parts.make(20, 4, 24)


def named(net, group):
    """The names of a group's parameters."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    return {names[parameter] for parameter in group["params"]}


@pytest.mark.parametrize(
    "parts",
    [TWO_LAYERS, Net(Timm("test_resnet"), GeM(), Cosine()), Net(Timm("test_convnext"))],
    ids=["conformer", "timm, GeM, cosine", "timm with layer norms"],
)
def test_norms_and_biases_have_no_decay_as_timm_groups_them(parts):
    net = net_of(parts)
    theirs = timm.optim.param_groups_weight_decay(net, weight_decay=0.05)
    ours = build_optimizer(AdamW(weight_decay=0.05), net).param_groups
    for decay in (0.0, 0.05):
        mine = set().union(*(named(net, group) for group in ours if group["weight_decay"] == decay))
        assert mine == set().union(*(named(net, group) for group in theirs if group["weight_decay"] == decay))
    assert sum(len(group["params"]) for group in ours) == len(list(net.parameters()))


def rate_of(net, optimizer):
    rates = {}
    for group in build_optimizer(optimizer, net).param_groups:
        assert group["initial_lr"] == group["lr"]
        rates |= dict.fromkeys(named(net, group), group["lr"])
    return rates


def test_rates_by_layer_and_head_by_hand():
    """Stages stem, layer1, layer2 (final has no weights): lr/4, lr/2, lr; the pooling and the head 0.5."""
    net = net_of(TWO_LAYERS)
    rates = rate_of(net, AdamW(lr=0.1, layer_decay=0.5, head_lr=0.5))
    assert set(rates) == {name for name, _ in net.named_parameters()}
    wanted = {"stages.stem": 0.025, "stages.layer1": 0.05, "stages.layer2": 0.1, "pooling": 0.5, "head": 0.5}
    for name, rate in rates.items():
        assert rate == pytest.approx(next(value for start, value in wanted.items() if name.startswith(start))), name
    assert set(rate_of(net, AdamW(lr=0.1)).values()) == {0.1}
    assert sorted(set(rate_of(net, AdamW(lr=0.1, layer_decay=0.5)).values())) == pytest.approx([0.025, 0.05, 0.1])


def test_what_is_not_trained_is_in_no_group():
    net = net_of(TWO_LAYERS)
    net.stages["stem"].requires_grad_(False)
    trained = sum(parameter.requires_grad for parameter in net.parameters())
    assert sum(len(group["params"]) for group in param_groups(net)) == trained < len(list(net.parameters()))


def test_the_schedule_scales_all_rates_alike(store, rows, tiny, tmp_path):
    """24 rows in batches of 8: the last update of three epochs has 0.5·(1 + cos 4π/5) of each rate."""
    experiment = tiny.but(optimizer=AdamW(lr=1e-3, head_lr=4e-3, layer_decay=0.5))
    fit(experiment, store, *rows, tmp_path, progress=False)
    groups = torch.load(tmp_path / "last.pt", weights_only=True)["optimizer"]["param_groups"]
    assert [group["lr"] / group["initial_lr"] for group in groups] == pytest.approx([0.0954915] * len(groups))
    assert sorted({group["initial_lr"] for group in groups}) == pytest.approx([5e-4, 1e-3, 4e-3])
    assert pd.read_csv(tmp_path / "log.csv")["lr"].iloc[-1] == pytest.approx(4e-3 * 0.0954915)


def plain_sgd(groups, rate=0.1):
    return torch.optim.SGD(groups, rate, weight_decay=0.01)


@dataclasses.dataclass(frozen=True)
class Momentum:
    rate: float = 0.1

    def __call__(self, groups):
        return torch.optim.SGD(groups, self.rate, momentum=0.9)


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (Part(torch.optim.SGD, lr=0.02, weight_decay=0.1), 0.02),
        (Part(plain_sgd, rate=0.03), 0.03),
        (Part(plain_sgd), 0.1),
        (Momentum(0.04), 0.04),
    ],
    ids=["class", "function", "function by itself", "dataclass"],
)
def test_an_optimiser_of_ones_own(store, rows, tiny, tmp_path, optimizer, rate):
    net = net_of(TWO_LAYERS)
    built = build_optimizer(optimizer, net)
    assert isinstance(built, torch.optim.SGD) and {group["lr"] for group in built.param_groups} == {rate}
    undecayed = [group for group in built.param_groups if group["weight_decay"] == 0]
    assert undecayed and all(len(group["params"]) for group in undecayed)
    fit(tiny.but(optimizer=optimizer, loop__epochs=1), store, *rows, tmp_path, progress=False)
    assert pd.read_csv(tmp_path / "log.csv")["lr"][0] == pytest.approx(rate)  # the last of three updates


@pytest.mark.parametrize("name", ["muon", "lamb"])
def test_timms_optimisers_train_and_go_on(store, rows, tiny, tmp_path, name):
    optimizer = TimmOptimizer(name, lr=2e-3, layer_decay=0.5, head_lr=1e-3)
    experiment = tiny.but(optimizer=optimizer, net__head=Linear(), augment=(), loop__epochs=6, loop__patience=6)
    fitted = fit(experiment, store, *rows, tmp_path, progress=False)
    again = fit(experiment, store, *rows, tmp_path, progress=False)  # from last.pt, with nothing left to train
    assert again.score == fitted.score
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]
    assert log["lr"].iloc[0] == pytest.approx(0.75 * 2e-3)  # the third of the warm-up's four updates


def test_timms_optimiser_gets_the_groups_and_rates():
    rates = rate_of(net_of(TWO_LAYERS), TimmOptimizer("sgd", lr=0.1, layer_decay=0.5))
    assert sorted(set(rates.values())) == pytest.approx([0.025, 0.05, 0.1])
    with pytest.raises(ValueError, match="optimizer must be AdamW with step \"graph\", got 'lamb'"):
        build_optimizer(TimmOptimizer("lamb"), net_of(TWO_LAYERS), capturable=True)


def no_optimiser(groups):
    return [groups]


class NotOne:
    def __init__(self, groups):
        pass


@pytest.mark.parametrize(("target", "got"), [(no_optimiser, "list"), (NotOne, "NotOne")])
def test_what_gives_no_optimiser_is_named(target, got):
    message = f"optimizer {target.__name__}: must give a torch optimiser, got {got}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build_optimizer(Part(target), nn.Linear(2, 2))
