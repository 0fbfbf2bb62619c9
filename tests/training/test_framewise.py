"""When a backbone's frames are: by hand, and by what each frame of a net looks at."""

import numpy as np
import pytest
import torch

from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.training.framewise import frame_edges


@pytest.mark.parametrize(
    ("count", "size", "edges"),
    [
        (3, 96, [0, 32, 64, 96]),
        (4, 100, [0, 32, 64, 96, 100]),  # filled up
        (2, 40, [0, 32, 40]),
        (3, 100, [0, 32, 64, 96]),  # left out
        (20, 60, [*range(0, 61, 3)]),  # frames stacked by three
        (1, 20, [0, 20]),  # an image filled up to 32
        (5, 5, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_edges_by_hand(count, size, edges):
    assert frame_edges(count, size).tolist() == edges


@pytest.mark.parametrize("name", ["test_byobnet", "test_resnet"])
def test_a_frame_looks_at_its_own_part_of_the_recording(name):
    size = 300  # of which an even share is two thirds of a frame off at the end
    torch.manual_seed(0)
    net = Net(Timm(name), head=ClassAttention()).make(64, 4, 96).eval()
    mel = torch.randn(48, size, 64).requires_grad_()
    logits = net.framewise(mel)
    edges = frame_edges(logits.shape[1], size)
    assert logits.shape[1] == 10 and edges[-2:].tolist() == [288, 300]
    off = []
    for number in range(1, 9):
        (seen,) = torch.autograd.grad(logits[:, number].square().sum(), mel, retain_graph=True)
        weight = seen.square().sum((0, 2)).numpy()
        off.append(np.average(np.arange(size), weights=weight) - (edges[number] + edges[number + 1]) / 2)
    assert np.abs(off).max() < 12 and abs(np.mean(off)) < 5
