"""A training step of timm's resnet18 with manifold mixup: the first stages once, or twice as the source runs them.

A round over all places takes a step at each of them: the input, the stem, the four layers. To reach: 1.3 × averaged
over places, 1.8 × at the last layer. A step is all of it: draw, forward, loss, backward, AdamW.
"""

import pytest
import torch
from torch.nn import functional

from kit.data.mixup import MixDrawer
from kit.models.net import Net
from kit.models.timm_backbone import Timm
from kit.training.optim import AdamW, build_optimizer
from tests.bench.mixup_source import SourceResNet, source_step
from tests.bench.turns import Bound

N_CLASSES = 50
PLACES = ("input", "stem", "layer1", "layer2", "layer3", "layer4")
MEL = torch.randn(32, 96, 64, generator=torch.Generator().manual_seed(0))  # (B, T, F)
TARGET = torch.randint(N_CLASSES, (32,), generator=torch.Generator().manual_seed(0))
GROUPS = {"all places": PLACES, "last layer": PLACES[-1:]}


@pytest.mark.benchmark(group="manifold mixup, training step of resnet18")
@pytest.mark.parametrize("places", GROUPS)
def test_step(turns, places):
    model = SourceResNet("resnet18", N_CLASSES).train().to(memory_format=torch.channels_last)  # as ours is
    optimizer, image = torch.optim.AdamW(model.parameters()), MEL.transpose(1, 2).unsqueeze(1)
    mixed, plain = kit_step(), kit_step()

    def source():
        for place in GROUPS[places]:
            source_step(model, optimizer, image, TARGET, PLACES.index(place))

    def kit():
        for place in GROUPS[places]:
            mixed(MixDrawer((place,)))

    bound = Bound(
        "a step without mixup at each place: the source's costs up to twice that, at the last layer",
        lambda: [plain(None) for _ in GROUPS[places]],
    )
    turns(kit, bound, source=source, turns=4, reach={"all places": 1.3, "last layer": 1.8}[places])


def kit_step():
    """What takes a step of a net, with a mixup or without."""
    model = Net(Timm("resnet18")).make(MEL.shape[2], N_CLASSES, MEL.shape[1]).train()
    optimizer, generator = build_optimizer(AdamW(), model), torch.Generator().manual_seed(0)

    def step(mixup: MixDrawer | None):
        plan = mixup and mixup.draw(len(MEL), 1, generator)
        logits, _ = model(MEL, None, plan and plan.mix)
        functional.cross_entropy(logits, plan.target(TARGET, N_CLASSES) if plan else TARGET).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
