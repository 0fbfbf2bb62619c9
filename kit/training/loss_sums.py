"""Losses made of others: a weighted sum, and one loss of both clips and frames."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from kit.models.sed import ClassAttention
from kit.parts import as_part, at_least, make, part, part_name, walk
from kit.training.losses import BCE, SoftAUC


@part
class Sum:
    """Σ weight · loss, of losses for the same labels.

    A loss's own weight of positive pairs would be that of all of them: one at most may have it.
    """

    losses: tuple = (BCE(), SoftAUC())
    weights: tuple = (1.0, 0.25)

    def check(self):
        object.__setattr__(self, "losses", tuple(map(as_part, self.losses)))
        if not self.losses or len(self.losses) != len(self.weights):
            raise ValueError(f"weights must be one a loss ({len(self.losses)}), got {self.weights!r}")
        for weight in self.weights:
            if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < float("inf"):
                raise ValueError(f"weights must be finite numbers of at least 0, got {self.weights!r}")
        tasks = {loss.task for loss in self.losses if hasattr(loss, "task")}
        if len(tasks) > 1:
            raise ValueError(f"losses must be for the same labels, got {', '.join(map(part_name, self.losses))}")
        if tasks:
            object.__setattr__(self, "task", tasks.pop())
        if any(hasattr(loss, "teacher") for loss in self.losses):
            raise ValueError("losses must not be Distil, which stands around a Sum: Distil(file, loss=Sum(…))")
        if len(weighted := list(filter(_weighs, self.losses))) > 1:
            raise ValueError(
                f"positive_weight must be of one loss at most, got {' and '.join(map(part_name, weighted))}"
            )

    def positive_at(self, epoch: int) -> float:
        """The weight of positive pairs in an epoch, from 0: that of the loss that has one."""
        return next((loss.positive_at(epoch) for loss in self.losses if _weighs(loss)), 1.0)

    def make(self) -> nn.Module:
        return Summed(tuple(map(make, self.losses)), self.weights)


class Summed(nn.Module):
    """Sum at work, of losses (logits, batch) -> scalar."""

    def __init__(self, losses: tuple[Callable, ...], weights: tuple[float, ...]):
        super().__init__()
        self.inner = nn.ModuleList(loss for loss in losses if isinstance(loss, nn.Module))  # moved with this one
        self.losses, self.weights = losses, weights

    def forward(self, logits: Tensor, batch: Any) -> Tensor:
        total: Any = sum(weight * loss(logits, batch) for loss, weight in zip(self.losses, self.weights, strict=True))
        return total


@part
class ClipAndFrame:
    """`loss` of a clip's logits, and of the highest that any of its frames has, class by class.

    As in the ninth place of BirdCLEF+ 2026, and in others before it, whose sums are of 1 and 0.5, or of halves.
    """

    loss: Any = BCE()
    clip_weight: float = 0.5
    frame_weight: float = 0.5
    needs_frames = True

    def check(self):
        object.__setattr__(self, "loss", as_part(self.loss))
        at_least(self, 0, "clip_weight", "frame_weight")
        if hasattr(self.loss, "teacher"):
            raise ValueError("loss must not be Distil, which stands around it: Distil(file, loss=ClipAndFrame(…))")
        if hasattr(self.loss, "task"):
            object.__setattr__(self, "task", self.loss.task)

    def check_with(self, experiment: Any):
        if not isinstance(getattr(experiment.net, "head", None), ClassAttention):
            raise ValueError("head must be ClassAttention with ClipAndFrame, for it classifies single frames")
        mix = experiment.mix
        if "embedding" in (getattr(mix, "place", ""), *getattr(mix, "places", ())):
            raise ValueError('place must not be "embedding" with ClipAndFrame, for frames come before it')

    def positive_at(self, epoch: int) -> float:
        return self.loss.positive_at(epoch) if hasattr(self.loss, "positive_at") else 1.0

    def make(self) -> nn.Module:
        return Framed(make(self.loss), self.clip_weight, self.frame_weight)


class Framed(nn.Module):
    """ClipAndFrame at work: batch.frames (B, T, C) are the logits of frames, −inf where one is padded."""

    def __init__(self, loss: Callable, clip_weight: float, frame_weight: float):
        super().__init__()
        self.loss, self.clip_weight, self.frame_weight = loss, clip_weight, frame_weight

    def forward(self, logits: Tensor, batch: Any) -> Tensor:
        return self.clip_weight * self.loss(logits, batch) + self.frame_weight * self.loss(batch.frames.amax(1), batch)


def needs_frames(loss: Any) -> bool:
    """Does a loss ask for the logits of frames?"""
    return any(getattr(inner, "needs_frames", False) for inner in walk(loss))


def _weighs(loss: Any) -> bool:
    return hasattr(loss, "positive_at") and loss.positive_at(0) != 1
