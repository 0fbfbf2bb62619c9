import math

import pytest
import torch
from torch import nn

from kit.data.batch import Batch
from kit.data.mixup import Mixup
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.training.distil import Distil
from kit.training.loss_sums import ClipAndFrame, Sum, needs_frames
from kit.training.losses import BCE, CrossEntropy, Focal, SoftAUC

FOUR = math.log(4)  # the logit of p = 0.8
SED = Net(Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5), head=ClassAttention())


def batch(target, frames=None):
    target = torch.tensor(target)
    return Batch(torch.zeros(len(target), 1, 1), None, target, torch.arange(len(target)), frames=frames)


class Own(nn.Module):
    def forward(self, logits, batch):
        return logits.square().mean()


def test_a_sum_by_hand():
    """BCE of p = 0.8 and 0.5, of which the first has the class, and a quarter of its one pair's loss."""
    logits, of = torch.tensor([[FOUR], [0.0]]), batch([[1.0], [0.0]])
    wanted = (math.log(1.25) + math.log(2)) / 2 + 0.25 * math.log(1.25)
    assert Sum().make()(logits, of).item() == pytest.approx(wanted)
    own = Sum((BCE(), Own), (1.0, 2.0)).make()
    assert own(logits, of).item() == pytest.approx((math.log(1.25) + math.log(2)) / 2 + FOUR**2)
    assert [type(module) for module in own.inner] == [Own], "is moved to a device with the sum"


def test_a_sum_is_for_the_labels_of_its_losses_and_has_their_weight():
    weighted = Sum((SoftAUC(), Focal(positive_weight=3.0, positive_decay=0.5)), (1.0, 1.0))
    assert weighted.task == "multi" and [weighted.positive_at(epoch) for epoch in (0, 1)] == [3.0, 2.0]
    assert Sum((CrossEntropy(),), (1.0,)).task == "single" and Sum().positive_at(0) == 1
    assert not hasattr(Sum((Own,), (1.0,)), "task")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sum((BCE(),), (1.0, 2.0)), r"weights must be one a loss \(1\), got \(1.0, 2.0\)"),
        (lambda: Sum((), ()), r"weights must be one a loss \(0\), got \(\)"),
        (lambda: Sum((BCE(),), (-1.0,)), r"weights must be finite numbers of at least 0, got \(-1.0,\)"),
        (lambda: Sum((BCE(), CrossEntropy())), "losses must be for the same labels, got BCE, CrossEntropy"),
        (lambda: Sum((BCE(0.0, 2.0), Focal(2.0, 0.0, 3.0))), "positive_weight must be of one .* got BCE and Focal"),
        (lambda: Sum((BCE(), Distil("x"))), "losses must not be Distil, which stands around a Sum"),
        (lambda: ClipAndFrame(Distil("x")), "loss must not be Distil, which stands around it"),
        (lambda: ClipAndFrame(frame_weight=-1.0), "frame_weight must be at least 0, got -1.0"),
        (lambda: Experiment(loss=ClipAndFrame()), "head must be ClassAttention with ClipAndFrame"),
        (
            lambda: Experiment(net=SED, mix=Mixup("embedding"), loss=Sum((ClipAndFrame(),), (1.0,))),
            'place must not be "embedding" with ClipAndFrame',
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_clips_and_their_highest_frames_by_hand():
    """A clip of p = 0.5 whose best frame has 0.8, and one that lacks the class, whose frames have 0.5 and 0.2; padded
    frames are none. Half of log 2 and half of log 1.25; half of log 2 and half of log 2.
    """
    frames = torch.tensor([[[-FOUR], [FOUR]], [[0.0], [-torch.inf]]])
    found = ClipAndFrame().make()(torch.zeros(2, 1), batch([[1.0], [0.0]], frames))
    assert found.item() == pytest.approx((0.5 * (math.log(2) + math.log(1.25)) + math.log(2)) / 2)
    whole = ClipAndFrame(clip_weight=1.0, frame_weight=0.5).make()(torch.zeros(2, 1), batch([[1.0], [0.0]], frames))
    assert whole.item() == pytest.approx((math.log(2) + 0.5 * math.log(1.25) + 1.5 * math.log(2)) / 2)
    assert ClipAndFrame(Focal(positive_weight=2.0)).positive_at(0) == 2 and ClipAndFrame().task == "multi"


def test_frames_are_asked_for_wherever_the_loss_stands():
    assert needs_frames(ClipAndFrame()) and needs_frames(Distil("x", loss=Sum((ClipAndFrame(), SoftAUC()))))
    assert not needs_frames(Sum())


def test_a_nets_frames_are_those_that_it_classifies():
    net, mel = SED.make(24, 3, 32).eval(), torch.randn(2, 32, 24)
    mask = torch.arange(32) < torch.tensor([[32], [20]])
    logits, z, frames, _ = net(mel, mask, None, True)
    torch.testing.assert_close((logits, z), net(mel, mask))
    torch.testing.assert_close(frames, net.framewise(mel, mask))
    assert (frames[1, 20:] == -torch.inf).all() and frames[0].isfinite().all() and frames[1, :20].isfinite().all()
    alone = net.framewise(mel[1:, :20])
    torch.testing.assert_close(frames[1:, :20], alone, atol=1e-5, rtol=1e-5)
