"""How long a training is, how it stops, and what it keeps."""

from typing import Any

from kit.parts import at_least, fraction, one_of, part

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
STEPS = ("eager", "compiled", "graph")


@part
class Loop:
    """The training loop. An epoch is what lies between two validations; patience is counted in them."""

    epochs: int = 20
    epoch_steps: int = 0  # updates an epoch; 0 is one pass over the training rows
    batch_size: int = 32  # of all processes together
    accumulate: int = 1  # batches whose gradients make one update
    clip_norm: float = 1.0  # of all gradients together; 0 is no limit
    patience: int = 15  # validations without a better score
    keep: str = "best"  # or "last": the last epoch's weights, and no early stopping
    average_best: int = 1  # weights averaged over this many best validations
    ema_decay: float = 0.0  # of the exponential average of weights, which is then what is validated and kept
    frozen_epochs: int = 0  # epochs in which the backbone is not trained, only what follows it
    precision: str = "auto"  # bf16 where the card has it, fp16 on older cards, fp32 on a CPU
    step: str = "eager"  # "compiled": by torch.compile; "graph": that, and on a GPU a step is one CUDA graph
    workers: int = 0  # DataLoader processes; worth it only with waveform augmentation
    minutes: float = 0.0  # a fold may train in one go, by its clock; 0 is no limit. It stops between epochs, to go on

    def check(self):
        at_least(self, 1, "epochs", "batch_size", "accumulate", "patience", "average_best")
        at_least(self, 0, "epoch_steps", "clip_norm", "frozen_epochs", "workers", "minutes")
        fraction(self, "ema_decay")
        one_of(self, "keep", ("best", "last"))
        one_of(self, "precision", PRECISIONS)
        one_of(self, "step", STEPS)
        if self.keep == "last" and self.average_best > 1:
            raise ValueError(f'average_best must be 1 with keep "last", got {self.average_best}')

    def check_with(self, experiment: Any):
        if self.frozen_epochs and not hasattr(experiment.net, "backbone"):
            raise ValueError(f"frozen_epochs must be 0 with a whole net of your own, got {self.frozen_epochs}")
        if self.step == "graph" and self.accumulate > 1:
            raise ValueError(f'accumulate must be 1 with step "graph", got {self.accumulate}')
        if self.step == "graph" and self.frozen_epochs:  # a replay trains what was trained when it was recorded
            raise ValueError(f'frozen_epochs must be 0 with step "graph", got {self.frozen_epochs}')
