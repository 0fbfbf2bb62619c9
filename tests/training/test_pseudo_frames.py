import math

import pytest
import torch

from kit.data.batch import Batch
from kit.experiment import Experiment
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.training.distil import Distil
from kit.training.loss_sums import needs_frames
from kit.training.losses import BCE, CrossEntropy
from kit.training.pseudo_frames import PseudoFrames

FOUR = math.log(4)  # the logit of p = 0.8


def softplus(x):
    return math.log1p(math.exp(x))


def batch(frames, attention):
    frames = torch.tensor(frames)[None, :, None]
    return Batch(torch.zeros(1, 1, 1), None, torch.tensor([[1.0]]), torch.zeros(1), frames=frames,
                 attention=torch.tensor(attention)[None, :, None])  # fmt: skip


def test_the_loss_by_hand():
    """Frames of p = 0.8, 0.5 and 0.2, of which the first is sure, attended to by 0.5, 0.25 and 0.25; a padded one."""
    of = batch([FOUR, 0.0, -FOUR, -math.inf], [0.5, 0.25, 0.25, 0.0])
    taught = (softplus(-0.5) + 2 * softplus(0.25)) / 3
    loss = PseudoFrames(weight=0.5).make()(torch.tensor([[FOUR]]), of)
    assert loss.item() == pytest.approx(math.log(1.25) + 0.5 * taught)
    lower = PseudoFrames(threshold=0.5).make()(torch.tensor([[FOUR]]), of)  # the second frame is sure enough, at 0.5
    assert lower.item() == pytest.approx(math.log(1.25) + (softplus(-0.5) + softplus(-0.25) + softplus(0.25)) / 3)


def test_the_attention_learns_and_the_frames_do_not():
    frames = torch.tensor([[[2.0], [-2.0]]], requires_grad=True)
    score = torch.zeros(1, 2, 1, requires_grad=True)
    of = Batch(torch.zeros(1, 1, 1), None, torch.tensor([[1.0]]), torch.zeros(1), frames=frames,
               attention=score.softmax(1))  # fmt: skip
    PseudoFrames().make()(torch.zeros(1, 1), of).backward()
    assert frames.grad is None, "labels are no way for a gradient"
    assert score.grad[0, 0, 0] < 0 < score.grad[0, 1, 0], "a step down the gradient attends to the sure frame"


def test_the_nets_attention_is_what_weighs_its_frames():
    net = Net(head=ClassAttention()).make(40, 3, 64).eval()
    mel, mask = torch.randn(2, 50, 40), torch.arange(50)[None] < torch.tensor([[50], [30]])
    logits, _, frames, attention = net(mel, mask, None, True)
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 3))
    torch.testing.assert_close((attention * frames.masked_fill(frames.isneginf(), 0.0)).sum(1), logits)
    assert (attention[1, 30:] == 0).all()


def test_it_keeps_to_its_losss_weight_and_asks_for_frames():
    weighted = PseudoFrames(BCE(positive_weight=3.0, positive_decay=0.5))
    assert [weighted.positive_at(epoch) for epoch in (0, 1)] == [3.0, 2.0] and needs_frames(weighted)
    assert PseudoFrames().positive_at(0) == 1 and weighted.task == "multi"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PseudoFrames(threshold=1.0), r"threshold must be in \(0, 1\), got 1.0"),
        (lambda: PseudoFrames(weight=-1.0), "weight must be at least 0, got -1.0"),
        (lambda: PseudoFrames(CrossEntropy()), "loss must be for several labels a row, and not Distil, got CrossE"),
        (lambda: PseudoFrames(Distil("x")), "loss must be for several labels a row, and not Distil, got Distil"),
        (lambda: Experiment(loss=PseudoFrames()), "head must be ClassAttention with PseudoFrames"),
    ],
)
def test_what_it_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
