from dataclasses import replace

import pytest
import torch
from torch import nn

from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax, HiddenHead
from kit.models.net import Net, make_net
from kit.models.pooling import Statistics
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer
from kit.models.trial import check_net
from kit.parts import Part

SMALL = Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)


def tried(net, n_mels=40, crop_frames=20, image_channels=0):
    """The net that the part makes, after its trial."""
    module = make_net(net, n_mels, 6, crop_frames, image_channels)
    check_net(module, net, n_mels, 6, crop_frames, image_channels)
    return module


class Odd(nn.Module):
    """As pooling, head, backbone or whole net, it gives what `give` makes of its input."""

    def __init__(self, *sizes: int, give=None, width: int = 16):
        super().__init__()
        self.give, self.out_width = give, width

    def forward(self, *inputs):
        return self.give(*inputs)


@pytest.mark.parametrize(
    "net",
    [
        Net(SMALL),
        Net(replace(SMALL, frame_stack=3)),
        Net(Transformer(16, 1, 2, 32), Statistics(), AMSoftmax()),
        Net(SMALL, head=HiddenHead()),
        Net(Timm("test_resnet", frequency="stack"), head=ClassAttention()),
    ],
)
def test_nothing_stays_of_a_trial(net):
    module = make_net(net, 40, 6, 20)
    module.eval()
    module.pooling.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    state = torch.get_rng_state()
    check_net(module, net, 40, 6, 20)
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_it_is_whole_and_padded_in_training_and_in_eval():
    seen = []

    def pool(frames, mask):
        seen.append((torch.is_grad_enabled(), None if mask is None else mask.sum(1).tolist()))
        return frames.mean(1)

    net = Net(SMALL, Part(Odd, give=pool))
    module = make_net(net, 40, 6, 20)
    check_net(module, net, 40, 6, 20)
    assert list(dict.fromkeys(map(str, seen))) == [
        "(True, None)", "(True, [20, 10])", "(False, None)", "(False, [20, 10])",
    ]  # fmt: skip


def test_a_backbone_that_cannot_mask_is_tried_at_both_lengths():
    def frames(mel, mask):
        if mel.shape[1] == 10:
            raise RuntimeError("too short")
        return mel[..., :16]

    class ByLength(Odd):
        one_length = True

    with pytest.raises(ValueError, match="ByLength failed on mel of unequal lengths, each alone: .*too short"):
        tried(Net(Part(ByLength, give=frames)))


def test_images_are_not_padded():
    tried(Net(Timm("test_resnet", stem="small", normalize="none")), n_mels=48, crop_frames=16, image_channels=3)


def part_of(role, give, **arguments):
    return Net(**{"backbone": SMALL, role: Part(Odd, give=give, **arguments)})


WRONG = {
    "a pooling that keeps time": (
        part_of("pooling", lambda frames, mask: frames),
        r"pooling Odd must give z \(B, 16\), got \(2, 20, 16\) of 2 clips",
    ),
    "a pooling of another width": (
        part_of("pooling", lambda frames, mask: frames.mean(1), width=8),
        r"pooling Odd must give z \(B, 8\), got \(2, 16\) of 2 clips",
    ),
    "a pooling that takes no mask": (
        part_of("pooling", lambda frames: frames.mean(1)),
        r"pooling Odd failed on frames \(2, 20, 16\) without a mask: TypeError: .* takes 1 positional argument",
    ),
    "a pooling that needs a mask": (
        part_of("pooling", lambda frames, mask: frames.mul(mask[..., None]).mean(1)),
        r"pooling Odd failed on frames \(2, 20, 16\) without a mask: TypeError: 'NoneType'",
    ),
    "a pooling that leaves the graph": (
        part_of("pooling", lambda frames, mask: torch.from_numpy(frames.numpy()).mean(1)),
        "pooling Odd failed on frames .*: RuntimeError: Can't call numpy",
    ),
    "a head of other classes": (
        part_of("head", lambda z: z[:, :5]),
        r"head Odd must give logits \(B, 6\), got \(2, 5\) of 2 clips",
    ),
    "a head that gives no tensor": (
        part_of("head", lambda z: (z[:, :6], z)),
        r"head Odd must give logits \(B, 6\), got tuple of 2 clips",
    ),
    "a backbone that pools": (
        part_of("backbone", lambda mel, mask: mel.mean(1)),
        r"backbone Odd must give frames \(B, T, 16\), got \(2, 40\) of mel \(2, 20, 40\)",
    ),
    "a backbone of another width": (
        part_of("backbone", lambda mel, mask: mel),
        r"backbone Odd must give frames \(B, T, 16\), got \(2, 20, 40\) of mel \(2, 20, 40\)",
    ),
    "a backbone that forgets the mask": (
        part_of("backbone", lambda mel, mask: mel[:, ::2, :16]),
        r"backbone Odd must give \(frames, mask\) where it changes the number of frames, .* got frames \(2, 10, 16\) "
        r"and mask \(2, 20\)",
    ),
    "a whole net that gives logits alone": (
        Part(Odd, give=lambda mel, mask: mel[:, 0, :6]),
        r"net Odd must give \(logits, z\), got \(2, 6\)",
    ),
    "a whole net of other classes": (
        Part(Odd, give=lambda mel, mask: (mel[:, 0, :5], mel[:, 0])),
        r"net Odd must give logits \(B, 6\), got \(2, 5\) of 2 clips",
    ),
    "a whole net without embeddings": (
        Part(Odd, give=lambda mel, mask: (mel[:, 0, :6], None)),
        r"net Odd must give z \(B, D\), got NoneType of 2 clips",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_line_that_names_the_part(case):
    net, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as caught:
        tried(net)
    assert "\n" not in str(caught.value)


def test_a_failed_trial_leaves_nothing_either():
    net = part_of("head", lambda z: z[:, :5])
    module, state = make_net(net, 40, 6, 20), torch.get_rng_state()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="head Odd"):
        check_net(module, net, 40, 6, 20)
    assert module.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_margin_keeps_the_shape():
    class Margin(nn.Linear):
        def with_margin(self, logits, target, margin=None):
            return logits[:, 0]

    with pytest.raises(ValueError, match=r"head .*Margin's with_margin must give logits \(B, 6\), got \(2,\)"):
        tried(Net(SMALL, head=Part(Margin)))
