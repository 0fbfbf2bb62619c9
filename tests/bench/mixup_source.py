"""The way to beat: manifold mixup as competitors write it today, both halves through the first stages."""

import numpy as np
import timm
import torch
from torch import nn
from torch.nn import functional


class SourceResNet(nn.Module):
    """A timm resnet whose forward is written out again, to stop after `place` stages (0 is the input)."""

    def __init__(self, timm_name: str, n_classes: int):
        super().__init__()
        self.net = timm.create_model(timm_name, in_chans=1, num_classes=n_classes)
        net = self.net
        stem = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
        self.parts = [stem, net.layer1, net.layer2, net.layer3, net.layer4]

    def forward(self, image: torch.Tensor, perm: torch.Tensor, lam: float, place: int) -> torch.Tensor:
        h, other = image, image[perm]
        for part in self.parts[:place]:
            h = part(h)
        for part in self.parts[:place]:
            other = part(other)
        h = lam * h + (1 - lam) * other
        for part in self.parts[place:]:
            h = part(h)
        return self.net.fc(self.net.global_pool(h))


def source_step(model: SourceResNet, optimizer, image, target, place: int) -> None:
    lam = np.random.beta(1.0, 1.0)  # noqa: NPY002 - as it is written there
    perm = torch.randperm(len(image))
    logits = model(image, perm, lam, place)
    loss = lam * functional.cross_entropy(logits, target)
    loss = loss + (1 - lam) * functional.cross_entropy(logits, target[perm])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


class SourceConformerMixup(nn.Module):
    """The same two passes, over the stages of a Net."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def step(self, optimizer, mel, target, place: str) -> None:
        lam = np.random.beta(1.0, 1.0)  # noqa: NPY002 - as it is written there
        perm = torch.randperm(len(mel))
        parts = {"input": nn.Identity(), **dict(self.net.stages.items())}
        names = list(parts)
        cut = len(names) if place == "embedding" else names.index(place) + 1

        def run(h, some):
            for name in some:
                h = h if name == "input" else parts[name](h, None)[0]
            return h

        h, other = run(mel, names[:cut]), run(mel[perm], names[:cut])
        if place == "embedding":
            h, other = (self.net.hidden(self.net.pooling(part, None)) for part in (h, other))
            z = lam * h + (1 - lam) * other
        else:
            z = self.net.hidden(self.net.pooling(run(lam * h + (1 - lam) * other, names[cut:]), None))
        logits = self.net.head(z)
        loss = lam * functional.cross_entropy(logits, target)
        loss = loss + (1 - lam) * functional.cross_entropy(logits, target[perm])
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
