import pytest
import timm
import torch

from kit.models.pixels import PixelStem
from kit.models.sizes import Padding
from kit.models.timm_stages import timm_stages

AS_IT_IS = Padding(1, 1)


def built(name="resnet18", channels=3, side=32, stem="small"):
    return timm_stages(name, side * channels, "none", image_channels=channels, stem=stem)[0]


def shapes(stages, rows):
    h, mask, found = rows, None, {}
    for name, stage in stages.items():
        h, mask = stage(h, mask)
        found[name] = tuple(h.shape[1:])
    return found


def test_rows_of_pixels_become_the_image_exactly():
    """Rows are (red, green, blue) of one pixel after another; 0 to 255 becomes -1 to 1."""
    rows = torch.tensor([[[0.0, 51, 102, 153, 204, 255], [255, 204, 153, 102, 51, 0]]])
    image, mask = PixelStem(3, AS_IT_IS, torch.nn.Identity())(rows)
    wanted = torch.tensor([[[[-1, 0.2], [1, -0.2]], [[-0.6, 0.6], [0.6, -0.6]], [[-0.2, 1], [0.2, -1]]]])
    torch.testing.assert_close(image, wanted)
    assert mask is None
    pixels = torch.randint(256, (2, 4, 4, 3)).float()
    image, _ = PixelStem(3, AS_IT_IS, torch.nn.Identity())(pixels.flatten(2))
    assert torch.equal(image, pixels.permute(0, 3, 1, 2) / 127.5 - 1)


def test_images_that_are_too_small_are_filled_up_with_black():
    image, _ = PixelStem(1, Padding(4, 1), torch.nn.Identity())(torch.full((1, 2, 2), 255.0))
    assert image[0, 0].tolist() == [[1, 1, -1, -1], [1, 1, -1, -1], [-1] * 4, [-1] * 4]


def test_the_small_stem_keeps_the_images_size():
    rows = torch.rand(2, 32, 96) * 255
    assert shapes(built(), rows) == {
        "stem": (64, 32, 32), "layer1": (64, 32, 32), "layer2": (128, 16, 16), "layer3": (256, 8, 8),
        "layer4": (512, 4, 4), "final": (4, 512),
    }  # fmt: skip
    digits = shapes(built("test_resnet", channels=1, side=8), torch.rand(2, 8, 8))
    assert digits["stem"] == (32, 8, 8) and digits["layer4"] == (96, 1, 1)


def test_the_stem_as_built_halves_twice():
    found = shapes(built(stem="as_built"), torch.rand(2, 32, 96) * 255)
    assert found["stem"] == (64, 8, 8) and found["layer4"] == (512, 1, 1)


def test_resnet18_for_cifar_has_the_known_number_of_weights():
    """He et al.'s ResNet-18 with a 3 × 3 stem has 11,173,962 with a classifier of ten classes, 512 × 10 + 10."""
    weights = sum(weight.numel() for stage in built().values() for weight in stage.parameters())
    assert weights + 512 * 10 + 10 == 11_173_962


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_stages_give_the_nets_own_features_of_the_image(name):
    options = {"dynamic_img_size": True, "dynamic_img_pad": True} if name == "test_vit" else {}
    torch.manual_seed(3)
    whole = timm.create_model(name, in_chans=3, num_classes=0, **options).eval()
    torch.manual_seed(3)
    stages = built(name, stem="as_built")
    rows = torch.randint(256, (2, 32, 96)).float()
    image = rows.unflatten(2, (32, 3)).permute(0, 3, 1, 2) / 127.5 - 1
    features = whole.forward_features(image)
    if features.dim() == 3:  # a ViT's tokens: prefix, then rows of patches
        features = features[:, whole.num_prefix_tokens :].unflatten(1, (2, 2)).permute(0, 3, 1, 2)
    h, mask = rows, None
    for stage in stages.values():
        h, mask = stage.eval()(h, mask)
    torch.testing.assert_close(h, features.mean(dim=2).transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_a_net_of_one_image_size_takes_images_of_that_size():
    """A gMLP is built for the images' size, where no log-mel's length could be."""
    frames = shapes(built("gmlp_ti16_224", channels=1, side=48, stem="as_built"), torch.rand(2, 48, 48) * 255)["final"]
    assert frames == (3, 128)  # 3 × 3 patches of 16


def test_training_reaches_every_weight():
    stages = built("test_resnet")
    h = torch.rand(2, 32, 96) * 255
    for stage in stages.values():
        h, _ = stage(h, None)
    h.square().sum().backward()
    assert all(weight.grad is not None for stage in stages.values() for weight in stage.parameters())


def test_what_is_not_possible_is_refused():
    with pytest.raises(ValueError, match='stem must be "as_built" for a net that is no ResNet, got "small" with'):
        built("test_vit")
    with pytest.raises(ValueError, match="stem must be one of as_built, small, got 'smal'"):
        built(stem="smal")
    with pytest.raises(ValueError, match=r"mask must be None for images, which are whole, got one of \(2, 32\)"):
        built("test_resnet")["stem"](torch.rand(2, 32, 96), torch.ones(2, 32, dtype=torch.bool))
