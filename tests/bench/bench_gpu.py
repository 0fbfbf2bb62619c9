"""On a GPU: the Conformer's step from the store as one CUDA graph, and LPC views. Skipped where there is none.

To reach, on an H200: 7 times the source's steps at batch 32, 16 times its samples a second at any batch; the views of
256 clips in under 3 ms.
"""

import itertools

import pytest
import torch
from accelerate import Accelerator

from kit.data.features import LogMel
from kit.data.lpc import LPCViews
from kit.experiment import Experiment
from kit.training.loop import Loop
from kit.training.nets import build_net
from kit.training.optim import build_optimizer
from kit.training.step import TrainStep
from tests.bench.batch_source import source_loader
from tests.bench.bench_batches import FRAMES, endless, kit_loader
from tests.bench.step_source import SourceConformer, source_step
from tests.bench.turns import Bound

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
STEPS = 50  # a round
N_CLASSES = 600


@pytest.mark.benchmark(group="GPU: 50 training steps from disk, Conformer d160 × 2, 192 frames, batch 32")
def test_steps(turns, hw4_files, hw4_store):
    """Beside eight workers that load files; eager, single precision."""
    loader = source_loader(
        hw4_files.folder, hw4_files.train["path"].tolist(), [0] * len(hw4_files.train), FRAMES, workers=8
    )
    batches = itertools.chain.from_iterable(loader for _ in itertools.count())
    model = SourceConformer(40, N_CLASSES).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    def source():
        for mel, target in itertools.islice(batches, STEPS):
            source_step(model, optimizer, scheduler, mel.cuda(), target.cuda())
        torch.cuda.synchronize()

    bound = Bound("the kernels of one step, one after another, in one graph")
    turns(kit_steps(hw4_store(10_000), 32), bound, source=source, turns=5, reach=7)


@pytest.mark.benchmark(group="GPU: the same at other batches")
@pytest.mark.parametrize("batch_size", [512, 4096])
def test_samples(turns, benchmark, hw4_store, batch_size):
    bound = Bound("matrix products, and memory between them; 16 times the source's samples/s to reach")
    turns(kit_steps(hw4_store(10_000), batch_size), bound, turns=5)
    benchmark.extra_info["samples/s"] = round(STEPS * batch_size / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="GPU: LPC views of 256 clips of 1 s")
def test_views(turns):
    views = LPCViews(LogMel(), 16).cuda()
    wave = 0.1 * torch.randn(256, 16000, device="cuda")

    @torch.no_grad()
    def once():
        views(wave)
        torch.cuda.synchronize()

    turns(once, Bound("memory: the frames' spectra; then the recursion's launches; 3 ms to reach"), turns=20)


def kit_steps(store, batch_size: int):
    """What takes STEPS steps of batches from the store, which lies on the device."""
    accelerator = Accelerator(mixed_precision="bf16")
    experiment = Experiment(crop_frames=FRAMES, loop=Loop(batch_size=batch_size, step="graph"))
    raw = build_net(experiment, N_CLASSES, 40).train().to(accelerator.device)
    net, optimizer = accelerator.prepare(raw, build_optimizer(experiment.optimizer, raw, capturable=True))
    update = TrainStep(experiment, net, raw, optimizer, accelerator)
    batches = endless(kit_loader(store, batch_size, accelerator.device))

    def steps():
        for batch in itertools.islice(batches, STEPS):
            update(batch, 0, 1.0)
            optimizer.zero_grad()
        torch.cuda.synchronize()

    return steps
