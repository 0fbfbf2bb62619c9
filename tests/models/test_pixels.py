from dataclasses import replace

import pytest
import torch

from kit.models.build import build_model
from kit.models.pixels import PixelStem
from kit.models.timm_stages import create_net, timm_stages
from kit.training.config import Config

PHOTOS = Config(
    backbone="timm", timm_name="resnet18", timm_stem="small", normalize="none", time_masks=0, freq_masks=0,
    image_channels=3, segment_frames=32,
)  # fmt: skip


def built(**changes):
    config = replace(PHOTOS, **changes)
    return build_model(config, 10, config.segment_frames * config.image_channels)


def shapes(net, rows):
    h, mask, found = rows, None, {}
    for name, stage in net.stages.items():
        h, mask = stage(h, mask)
        found[name] = tuple(h.shape[1:])
    return found


def test_rows_of_pixels_become_the_image_exactly():
    """Rows are (red, green, blue) of one pixel after another; 0 to 255 becomes -1 to 1."""
    rows = torch.tensor([[[0.0, 51, 102, 153, 204, 255], [255, 204, 153, 102, 51, 0]]])
    image, mask = PixelStem(3, 1, torch.nn.Identity())(rows)
    wanted = torch.tensor([[[[-1, 0.2], [1, -0.2]], [[-0.6, 0.6], [0.6, -0.6]], [[-0.2, 1], [0.2, -1]]]])
    torch.testing.assert_close(image, wanted)
    assert mask is None
    pixels = torch.randint(256, (2, 4, 4, 3)).float()
    image, _ = PixelStem(3, 1, torch.nn.Identity())(pixels.flatten(2))
    assert torch.equal(image, pixels.permute(0, 3, 1, 2) / 127.5 - 1)


def test_images_that_are_too_small_are_filled_up_with_black():
    image, _ = PixelStem(1, 4, torch.nn.Identity())(torch.full((1, 2, 2), 255.0))
    assert image[0, 0].tolist() == [[1, 1, -1, -1], [1, 1, -1, -1], [-1] * 4, [-1] * 4]


def test_the_small_stem_keeps_the_images_size():
    rows = torch.rand(2, 32, 96) * 255
    assert shapes(built(), rows) == {
        "stem": (64, 32, 32), "layer1": (64, 32, 32), "layer2": (128, 16, 16), "layer3": (256, 8, 8),
        "layer4": (512, 4, 4), "final": (4, 512),
    }  # fmt: skip
    digits = shapes(built(timm_name="test_resnet", image_channels=1, segment_frames=8), torch.rand(2, 8, 8))
    assert digits["stem"] == (32, 8, 8) and digits["layer4"] == (96, 1, 1)


def test_the_stem_as_built_halves_twice():
    found = shapes(built(timm_stem="as_built"), torch.rand(2, 32, 96) * 255)
    assert found["stem"] == (64, 8, 8) and found["layer4"] == (512, 1, 1)


def test_resnet18_for_cifar_has_the_known_number_of_weights():
    """He et al.'s ResNet-18 with a 3 × 3 stem and ten classes: 11,173,962."""
    assert sum(weight.numel() for weight in built().parameters()) == 11_173_962


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_stages_give_the_nets_own_features_of_the_image(name):
    torch.manual_seed(3)
    whole = create_net(name, False, 3).eval()
    torch.manual_seed(3)
    stages, _ = timm_stages(name, 96, "none", image_channels=3)
    rows = torch.randint(256, (2, 32, 96)).float()
    image = rows.unflatten(2, (32, 3)).permute(0, 3, 1, 2) / 127.5 - 1
    features = whole.forward_features(image)
    if features.dim() == 3:  # a ViT's tokens: prefix, then rows of patches
        side = round((features.shape[1] - whole.num_prefix_tokens) ** 0.5)
        features = features[:, whole.num_prefix_tokens :].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    h, mask = rows, None
    for stage in stages.values():
        h, mask = stage.eval()(h, mask)
    torch.testing.assert_close(h, features.mean(dim=2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_z_is_the_mean_over_the_whole_map():
    net = built(timm_name="test_resnet").eval()
    rows = torch.rand(2, 32, 96) * 255
    h = rows
    for name in net.stage_names[:-1]:
        h, _ = net.stages[name](h)
    torch.testing.assert_close(net.embed(rows), h.mean((2, 3)))


def test_training_reaches_every_weight():
    net = built(timm_name="test_resnet").train()
    net(torch.rand(2, 32, 96) * 255)[0].square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


def test_what_is_not_possible_is_refused():
    with pytest.raises(ValueError, match='timm_stem must be "as_built" for a net that is no ResNet, got "small" with'):
        built(timm_name="test_vit")
    with pytest.raises(ValueError, match="timm_stem must be one of as_built, small, got 'smal'"):
        timm_stages("test_resnet", 96, "none", image_channels=3, timm_stem="smal")
    with pytest.raises(ValueError, match=r"segment_frames must be the images' side, 96 / image_channels \(3\), got 16"):
        build_model(replace(PHOTOS, segment_frames=16), 10, 96)
    with pytest.raises(ValueError, match=r"mask must be None for images, which are whole, got one of \(2, 32\)"):
        built(timm_name="test_resnet").train()(torch.rand(2, 32, 96), torch.ones(2, 32, dtype=torch.bool))
