import pytest
import torch
from torch import nn

from kit.models.backbone import FinalFrames
from kit.models.maps import MapStage
from kit.models.places import mix_places, same_places
from kit.models.stem import FrameStem
from kit.models.timm_stages import timm_stages


@pytest.mark.parametrize(
    "name, same, places",
    [
        ("resnet18", {"final": "layer4"}, ("input", "layer1", "layer2", "layer3")),
        ("regnetx_002", {"final": "layer4"}, ("input", "layer1", "layer2", "layer3")),
        ("mobilenetv3_small_050", {}, ("input", "layer1", "layer2", "layer3", "layer4")),
        ("test_convnext", {}, ("input", "layer1", "layer2", "layer3")),
        # A ViT's patches are a convolution, and its positions are added.
        ("test_vit", {"stem": "input"}, ("input", "layer1", "layer2", "layer3", "layer4", "layer5")),
        ("vit_tiny_patch16_dinov3_qkvb", {"stem": "input", "final": "body"}, ("input",)),
    ],
)
def test_places_of_timm_nets(name, same, places):
    stages, _ = timm_stages(name, 40, "mean")
    assert same_places(stages, (64, 40)) == same
    assert mix_places(stages, same) == places
    assert all(stage.training for stage in stages.values())


def test_the_last_mean_commutes_with_mixing_and_the_stem_does_not():
    """Which is what the places say, worked out beside them."""
    stages, _ = timm_stages("test_resnet", 40, "mean_std")
    h = torch.randn(2, 64, 40)
    off = {}
    with torch.no_grad():
        for name, stage in stages.items():
            before = stage.eval()(0.3 * h + 0.7 * h.flip(0), None)[0]
            h = stage(h, None)[0]
            after = 0.3 * h + 0.7 * h.flip(0)
            off[name] = (before - after).abs().max() / after.abs().max()
    assert off["final"] < 1e-5 and off["stem"] > 0.01 and off["layer2"] > 0.01


@pytest.mark.parametrize(
    "normalize, same", [("none", {"stem": "input"}), ("mean", {"stem": "input"}), ("mean_std", {})]
)
def test_a_stem_of_one_linear_is_the_input_but_for_a_deviation(normalize, same):
    stages = {"stem": FrameStem(4, 6, normalize, 2), "layer1": MapStage(nn.GELU()), "final": FinalFrames()}
    assert same_places(stages, (12, 4)) == same | {"final": "layer1"}


def test_several_affine_stages_are_the_place_before_them_all():
    parts = {"stem": nn.Tanh(), "layer1": nn.Linear(4, 4), "layer2": nn.Identity(), "layer3": nn.ReLU()}
    stages = {name: MapStage(part) for name, part in parts.items()}
    same = same_places(stages, (12, 4))
    assert same == {"layer1": "stem", "layer2": "stem"}
    assert mix_places(stages, same) == ("input",)


def test_what_is_affine_at_first_alone_is_a_place():
    """A residual block that starts as nothing, as ResNets' and ConvNeXt's do, is trained to something."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)
            nn.init.zeros_(self.linear.weight)

        def forward(self, h):
            return h + self.linear(self.norm(h).relu())

    assert same_places({"stem": MapStage(Block())}, (12, 4)) == {}
