"""What happens to a machine during training, told in one line: a device without memory, a worker that died."""

import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

HINTS = {
    "SIGKILL": ", as where memory runs out: try fewer n_jobs",
    "SIGBUS": ", as where shared memory is full",
}


NO_CPU_MEMORY = "DefaultCPUAllocator"  # in the text of its RuntimeError


class DeviceMemoryError(RuntimeError):
    """The device can't hold a batch."""


class WorkerDiedError(RuntimeError):
    """A process that trained a fold is no more."""


@contextmanager
def memory_told(field: str, value: int, what: str = "") -> Iterator[None]:
    """Where a device, or the machine, runs out of memory, DeviceMemoryError proposes half the `value` of `field`.

    what: the clip that was under way.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # on a CPU, PyTorch has no error of its own for it
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and NO_CPU_MEMORY not in str(error):
            raise
        smaller = f"try {field} {value // 2}, under another name" if value > 1 else "a smaller net or crop is needed"
        of_what = f" ({what})" if what else ""
        raise DeviceMemoryError(f"the device has no memory for {field} {value}{of_what}: {smaller}") from error


@contextmanager
def death_told() -> Iterator[None]:
    """Where one of joblib's processes dies, WorkerDiedError says how, as far as joblib knows."""
    try:
        yield
    except BrokenProcessPool as error:
        signal = re.search(r"\b(SIG[A-Z]+)\(-\d+\)", str(error))
        how = f"of {signal[1]}{HINTS.get(signal[1], '')}" if signal else "without a word"
        raise WorkerDiedError(
            f"a process that trained a fold died {how}; what is finished is kept, and the next run goes on from there"
        ) from error
