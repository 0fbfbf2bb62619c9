import pytest
import torch
from torch import nn

from kit.models.sizes import Padding, check_sizes, find_padding
from kit.models.timm_stages import timm_stages


def net_of(rule):
    def features(image):
        if not rule(*image.shape[2:]):
            raise RuntimeError(f"no {tuple(image.shape[2:])}\nand more")
        return image

    return features


@pytest.mark.parametrize(
    "rule, padding",
    [
        (lambda high, wide: True, Padding(32, 1)),
        (lambda high, wide: min(high, wide) >= 75, Padding(96, 1)),
        (lambda high, wide: high % 4 == wide % 4 == 0, Padding(32, 4)),
        (lambda high, wide: high % 32 == wide % 32 == 0, Padding(32, 32)),
        (lambda high, wide: high % 7 == wide % 7 == 0, Padding(32, 14)),
    ],
)
def test_the_least_padding_that_works_is_taken(rule, padding):
    assert find_padding(net_of(rule), 40, 1, "net") == padding


def test_the_first_failure_is_told():
    with pytest.raises(ValueError) as caught:
        find_padding(net_of(lambda high, wide: (high, wide) == (224, 224)), 40, 1, "mine")
    assert str(caught.value) == (
        "name must name a net for images of any size, got 'mine', which fails at 40 × 32 pixels "
        "(RuntimeError: no (40, 32)), and when filled up to multiples of up to 256"
    )


def test_sizes_are_tried_stage_by_stage_and_modes_stay():
    stages, _ = timm_stages("test_resnet", 40, "none")
    stages["layer2"].eval()
    check_sizes(stages, 40, (64, 7, 203), "net")
    assert stages["layer1"].training and not stages["layer2"].training

    class Odd(nn.Module):
        def __init__(self, stage):
            super().__init__()
            self.stage = stage

        def forward(self, h, mask=None):
            if h.shape[-1] == 8:  # of 32 frames
                raise IndexError("not 8")
            return self.stage(h, mask)

    before = {name: buffer.clone() for name, buffer in stages["layer1"].named_buffers()}
    stages["layer2"] = Odd(stages["layer2"])
    with pytest.raises(ValueError) as caught:
        check_sizes(stages, 40, (64, 32, 29), "timm net 'test_resnet'")
    assert str(caught.value) == (
        "timm net 'test_resnet' must run on clips of any length, got 32 frames × 40 mels, where its stage "
        '"layer2" fails: IndexError: not 8'
    )
    assert all(torch.equal(before[name], buffer) for name, buffer in stages["layer1"].named_buffers())
