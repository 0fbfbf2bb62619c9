"""One update of the weights: eager, through torch.compile, or on a GPU the whole of it as one CUDA graph.

A small net's step is bound by the launches of its kernels: a CUDA graph launches them all at once. What a graph reads
must lie where it lay when it was recorded, so each batch is copied into the recorded one's place, and what changes from
step to step (learning rate, margin) is a tensor. Dropout draws on: a replay takes the generator as it stands.
"""

import warnings
from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from kit.data.batches import generator_for
from kit.data.dataset import Batch
from kit.data.mixup import MixPlan, mixup_accuracy
from kit.training.losses import classification_loss
from kit.training.lpc_losses import lpc_losses
from kit.training.multilabel import known_accuracy, multilabel_step

STEPS = ("eager", "compiled", "graph")
LPC_DRAWS = 0x6C7063  # "lpc": keeps the draws of shuffled views apart from a step's others
WARM_UP = 3  # updates of each kind of batch before its graph is recorded: they compile, and allocate what is kept
MOST_GRAPHS = 16  # each holds its own activations


class Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: Batch  # its tensors are the graph's input
    loss: Tensor
    right: Tensor


def build_optimizer(config, net) -> torch.optim.AdamW:
    """AdamW over a net that lies on its device; with config.step "graph" on a GPU, such as a CUDA graph can hold."""
    on_gpu = next(net.parameters()).device.type == "cuda"
    return torch.optim.AdamW(
        net.parameters(), config.lr, weight_decay=config.weight_decay, fused=True,
        capturable=on_gpu and config.step == "graph",
    )  # fmt: skip


def compiled_net(model):
    """Compiled for the shapes that come: crops have one length. Each place of a mixup is a compilation of its own."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * MOST_GRAPHS)
    return torch.compile(model, dynamic=False)


class TrainStep:
    """step(batch, number, lr) -> (loss, right): one update, right being how many items were, both () on the device.

    model is raw as Accelerate prepared it, and optimizer, whose checkpoint has been loaded, likewise. Where a graph
    can't be recorded, steps are those of "compiled" and a warning says why.
    """

    def __init__(self, config, model, raw, optimizer, accelerator):
        self.config, self.model, self.raw, self.optimizer = config, model, raw, optimizer
        self.accelerator, self.device = accelerator, accelerator.device
        self.compiled = model if config.step == "eager" else compiled_net(model)
        self.items = config.batch_size // accelerator.num_processes  # of a whole batch
        self.recorded: dict[tuple, Recorded] = {}
        self.seen: Counter = Counter()
        self.records = config.step == "graph" and self._may_record()
        if self.records:
            self.lr, self.margin = (torch.zeros((), device=self.device) for _ in range(2))
            self.side = torch.cuda.Stream()
            for group in optimizer.param_groups:
                group["lr"] = self.lr

    def __call__(self, batch: Batch, number: int, lr: float) -> tuple[Tensor, Tensor]:
        if not self.records:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            return self._update(batch, number, margin_at(self.config, number))
        self.lr.fill_(lr)
        self.margin.fill_(margin_at(self.config, number))
        kind = _kind(batch)
        if kind not in self.recorded and (self.seen[kind] < WARM_UP or len(self.recorded) == MOST_GRAPHS):
            self.seen[kind] += 1
            return self._aside(batch, number)
        if kind not in self.recorded:
            self.recorded[kind] = self._record(batch, number)
        known = self.recorded[kind]
        for place, now in zip(_tensors(known.batch), _tensors(batch), strict=True):
            place.copy_(now, non_blocking=True)
        known.graph.replay()
        return known.loss.clone(), known.right.clone()

    def _update(self, batch: Batch, number: int, margin: float | Tensor) -> tuple[Tensor, Tensor]:
        # A last, smaller batch is not worth a compilation, and one for any size makes the others slower.
        model = self.compiled if len(batch.target) == self.items else self.model
        with self.accelerator.autocast():
            loss, logits = self._forward(batch, model, number, margin)
        self.accelerator.backward(loss)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        right = _right(logits.detach(), batch).sum()
        return loss.detach(), right

    def _forward(self, batch: Batch, model, number: int, margin: float | Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the logits of the net's own head without margin, of the base classes, of the speech view."""
        config, plan = self.config, batch.plan
        if batch.weight is not None:
            return multilabel_step(config, batch, model)
        items = len(batch.target)
        views = len(batch.mel) // items
        logits, z = model(batch.mel, batch.mask, plan and (plan.repeated(views) if views > 1 else plan).mix)
        logits = logits[:items]
        target = plan.target(batch.target, logits.shape[1]) if plan else batch.target
        base = config.n_base or logits.shape[1]
        shares = target[:, :base] if target.dim() == 2 else target

        def loss_of(head, logits: Tensor) -> Tensor:
            shown = head.with_margin(logits, target, margin)[:, :base]
            return classification_loss(shown, shares, config.label_smoothing)

        loss = loss_of(self.raw.head, logits)
        if config.mix == "lpc":
            generator = generator_for(config.seed, number, self.accelerator.process_index, LPC_DRAWS)
            terms = lpc_losses(config, self.raw, z, target, lambda head, z: loss_of(head, head(z)), generator)
            loss = loss + sum(terms.values())
        return loss, logits[:, :base]

    def _may_record(self) -> bool:
        reasons = {
            "there is no GPU": self.device.type != "cuda",
            "several processes train one net": self.accelerator.num_processes > 1,
            "fp16 looks at the gradients in each step": self.accelerator.scaler is not None,
            'mix "lpc" draws within the step': self.config.mix == "lpc",
        }
        why = next((reason for reason, holds in reasons.items() if holds), None)
        if why:
            warnings.warn(f'step "graph": steps are compiled, but not recorded, for {why}', stacklevel=3)
        return why is None

    def _aside(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """An update on the stream that graphs are recorded on, as what is allocated before a graph must be."""
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            found = self._update(batch, number, self.margin)
            self.optimizer.zero_grad()
        torch.cuda.current_stream().wait_stream(self.side)
        return found

    def _record(self, batch: Batch, number: int) -> Recorded:
        """The update's graph; recording runs nothing. Gradients start as None, so that a replay writes, not adds."""
        self.optimizer.zero_grad()
        held, graph = _map(batch, lambda tensor: tensor.clone()), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.side):
            loss, right = self._update(held, number, self.margin)
        return Recorded(graph, held, loss, right)


def margin_at(config, step: int) -> float:
    """The head's margin at a step: grows linearly over the warm-up."""
    return config.margin * min(1.0, step / config.margin_warmup_steps) if config.margin_warmup_steps else config.margin


def _right(logits: Tensor, batch: Batch) -> Tensor:
    """How right each item is (B,), for the log's accuracy."""
    if batch.weight is not None:
        return known_accuracy(logits, batch.plan.apply(batch.target) if batch.plan else batch.target)
    return mixup_accuracy(logits, batch.target, batch.plan)


def _map(batch: Batch, change) -> Batch:
    """The batch with each of its tensors on the device changed; row stays, for no step reads it."""
    plan = batch.plan and MixPlan(change(batch.plan.lam), change(batch.plan.perm), batch.plan.place)
    mask, weight = (None if value is None else change(value) for value in (batch.mask, batch.weight))
    return Batch(change(batch.mel), mask, change(batch.target), batch.row, plan, weight)


def _tensors(batch: Batch) -> list[Tensor]:
    found: list[Tensor] = []
    _map(batch, lambda tensor: found.append(tensor) or tensor)
    return found


def _kind(batch: Batch) -> tuple:
    """What batches must share to be one graph's: which tensors there are, their shapes, the place that is mixed."""
    shapes = tuple(None if value is None else tuple(value.shape) for value in (batch.mel, batch.mask, batch.weight))
    return *shapes, batch.plan and (batch.plan.place, batch.plan.lam.dim())
