"""One update of the weights: eager, through torch.compile, or on a GPU the whole of it as one CUDA graph.

A small net's step is bound by the launches of its kernels: a CUDA graph launches them all at once. A graph reads fixed
addresses, so each batch is copied into the buffers it was recorded with, and what changes from step to step (learning
rate, margin) is a tensor. Dropout draws on: a replay takes the generator as it stands.
"""

import warnings
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kit.data.batch import Batch
from kit.data.batches import generator_for
from kit.data.mixup import mixup_accuracy
from kit.parts import make, part_name
from kit.training.loss_sums import needs_frames
from kit.training.losses import known_accuracy
from kit.training.views import view_losses

VIEW_DRAWS = 0x6C7063  # keeps the draws of shuffled views apart from a step's others
WARM_UP = 3  # updates of each shape of batch before its graph is recorded: they compile, and allocate what is kept
MOST_GRAPHS = 16  # each holds its own activations
ON_DEVICE = ("mel", "mask", "target", "weight", "known", "teacher")  # a batch's tensors beside its plan's


class Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: Batch  # its tensors are the graph's input
    loss: Tensor
    right: Tensor


def compiled_net(model):
    """Compiled for the shapes that come: crops have one length. Each place of a mixup is a compilation of its own."""
    from torch import _dynamo

    model = torch.compile(model, dynamic=False)

    def call(*arguments):
        with _dynamo.config.patch(recompile_limit=max(_dynamo.config.recompile_limit, 4 * MOST_GRAPHS)):
            return model(*arguments)

    return call


class TrainStep:
    """step(batch, number, share) -> (loss, right) of one batch: how many items were right; both () on the device.

    number counts batches from 0, share is the schedule's. `last` says that the gradients so far, of `parts` batches,
    are to update the weights. model is raw as Accelerate prepared it, and optimizer, whose checkpoint has been loaded,
    likewise. Where a graph can't be recorded, steps are those of "compiled" and a warning says why.
    """

    def __init__(self, experiment, model, raw, optimizer, accelerator):
        loop = experiment.loop
        self.experiment, self.model, self.raw, self.optimizer = experiment, model, raw, optimizer
        self.loss, self.views, self.clip_norm = make(experiment.loss), experiment.views, loop.clip_norm
        if isinstance(self.loss, nn.Module):
            if next(self.loss.parameters(), None) is not None:
                raise ValueError(
                    f"loss {part_name(experiment.loss)}: must have no parameters, for none would be trained"
                )
            self.loss.to(accelerator.device)
        self.needs_frames = needs_frames(experiment.loss)
        self.n_base = experiment.session.n_base if experiment.session else 0
        self.margin_at = getattr(getattr(experiment.net, "head", None), "margin_at", lambda number: None)
        self.accelerator, self.device = accelerator, accelerator.device
        self.compiled = model if loop.step == "eager" else compiled_net(model)
        self.items = loop.batch_size // accelerator.num_processes  # of a whole batch
        self.recorded: dict[tuple, Recorded] = {}
        self.seen: Counter = Counter()
        self.records = loop.step == "graph" and self._may_record()
        if self.records:
            # None where the head's part says nothing of a margin: then a head of one's own keeps to its own.
            self.margin = None if self.margin_at(0) is None else torch.zeros((), device=self.device)
            self.side = torch.cuda.Stream()
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(float(group["initial_lr"]), device=self.device)

    def __call__(
        self, batch: Batch, number: int, share: float, *, last: bool = True, parts: int = 1
    ) -> tuple[Tensor, Tensor]:
        margin = self.margin_at(number)
        if not self.records:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share
            return self._update(batch, number, margin, last, parts)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(group["initial_lr"] * share)
        if margin is not None:
            self.margin.fill_(margin)
        shape = _shape(batch)
        if shape not in self.recorded and (self.seen[shape] < WARM_UP or len(self.recorded) == MOST_GRAPHS):
            self.seen[shape] += 1
            return self._aside(batch, number)
        if shape not in self.recorded:
            self.recorded[shape] = self._record(batch, number)
        known = self.recorded[shape]
        for buffer, now in zip(_tensors(known.batch), _tensors(batch), strict=True):
            buffer.copy_(now, non_blocking=True)
        known.graph.replay()
        return known.loss.clone(), known.right.clone()

    def _update(
        self, batch: Batch, number: int, margin: float | Tensor | None, last: bool = True, parts: int = 1
    ) -> tuple[Tensor, Tensor]:
        # A last, smaller batch is not worth a compilation, and one for any size makes the others slower.
        model = self.compiled if len(batch.target) == self.items else self.model
        with self.accelerator.autocast():
            loss, logits = self._forward(batch, model, number, margin)
        self.accelerator.backward(loss / parts if parts > 1 else loss)
        if last:
            if self.clip_norm:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
        right = _right(logits.detach(), batch).sum()
        return loss.detach(), right

    def _forward(self, batch: Batch, model, number: int, margin) -> tuple[Tensor, Tensor]:
        """The loss, and the logits of the net's own head without margin, of the base classes, of the speech view."""
        plan, items = batch.plan, len(batch.target)
        n_views = len(batch.mel) // items
        mix = plan and (plan.repeated(n_views) if n_views > 1 else plan).mix
        logits, z, *of_frames = model(batch.mel, batch.mask, mix, *([True] if self.needs_frames else []))
        logits = logits[:items]
        batch = batch.mixed(logits.shape[1])._replace(**dict(zip(("frames", "attention"), of_frames, strict=False)))
        target = batch.target
        base = self.n_base or logits.shape[1]
        shown = batch._replace(target=target[:, :base]) if target.dim() == 2 and self.n_base else batch

        def loss_of(head, logits: Tensor) -> Tensor:
            if hasattr(head, "with_margin"):
                logits = head.with_margin(logits, target, margin)
            loss = self.loss(logits[:, :base], shown)
            if not isinstance(loss, Tensor) or loss.dim():
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(f"loss {part_name(self.experiment.loss)}: must give a scalar tensor, got {shape}")
            return loss

        loss = loss_of(getattr(self.raw, "head", None), logits)
        if hasattr(self.loss, "of_embedding"):
            loss = loss + self.loss.of_embedding(z[:items], batch)
        if self.views:
            generator = generator_for(self.experiment.seed, number, self.accelerator.process_index, VIEW_DRAWS)
            terms = view_losses(self.views, self.raw, z, target, lambda head, z: loss_of(head, head(z)), generator)
            loss = loss + sum(terms.values())
        return loss, logits[:, :base]

    def _may_record(self) -> bool:
        reasons = {
            "there is no GPU": self.device.type != "cuda",
            "several processes train one net": self.accelerator.num_processes > 1,
            "fp16 looks at the gradients in each step": self.accelerator.scaler is not None,
            "LPCViews draws within the step": self.views is not None,
        }
        why = next((reason for reason, holds in reasons.items() if holds), None)
        if why:
            warnings.warn(f'step "graph": steps are compiled, but not recorded, for {why}', stacklevel=3)
        return why is None

    def _aside(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """An update on the stream that graphs are recorded on, as what is allocated before a graph must be."""
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            results = self._update(batch, number, self.margin)
            self.optimizer.zero_grad()
        torch.cuda.current_stream().wait_stream(self.side)
        return results

    def _record(self, batch: Batch, number: int) -> Recorded:
        """The update's graph; recording runs nothing. Gradients start as None, so that a replay writes, not adds."""
        self.optimizer.zero_grad()
        held, graph = _map(batch, lambda tensor: tensor.clone()), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.side):
            loss, right = self._update(held, number, self.margin)
        return Recorded(graph, held, loss, right)


def _right(logits: Tensor, batch: Batch) -> Tensor:
    """How right each item is (B,), for the log's accuracy."""
    if batch.target.dim() == 2:
        return known_accuracy(logits, batch.mixed(logits.shape[1]).target)
    return mixup_accuracy(logits, batch.target, batch.plan)


def _map(batch: Batch, change) -> Batch:
    """The batch with each of its tensors on the device changed; row stays, for no step reads it."""
    plan = batch.plan and replace(batch.plan, lam=change(batch.plan.lam), perm=change(batch.plan.perm))
    there = {name: value for name in ON_DEVICE if (value := getattr(batch, name)) is not None}
    return batch._replace(**{name: change(value) for name, value in there.items()}, plan=plan)


def _tensors(batch: Batch) -> list[Tensor]:
    tensors: list[Tensor] = []
    _map(batch, lambda tensor: tensors.append(tensor) or tensor)
    return tensors


def _shape(batch: Batch) -> tuple:
    """What batches must share to be one graph's: which tensors there are, their shapes, the place that is mixed."""
    tensors = (getattr(batch, name) for name in ON_DEVICE)
    shapes = tuple(None if value is None else tuple(value.shape) for value in tensors)
    return *shapes, batch.plan and (batch.plan.place, batch.plan.lam.dim())
