import torch
from torch import nn

from kit.models.maps import FinalMap, HeadNorm, ImageStem, ToMap
from kit.models.sizes import Padding
from kit.models.stem import Normalize


def test_image_has_frequency_along_its_height_and_is_filled_up_with_zeros():
    stem = ImageStem(Normalize("none"), nn.Identity(), Padding(32, 1))
    mel = torch.randn(2, 10, 20)
    image, mask = stem(mel, torch.ones(2, 10, dtype=torch.bool))
    assert image.shape == (2, 1, 32, 32)
    assert torch.equal(image[:, 0, :20, :10], mel.transpose(1, 2))
    assert (image[:, :, 20:] == 0).all() and (image[..., 10:] == 0).all()
    assert mask.sum(dim=1).tolist() == [10, 10]


def test_multiples_are_filled_up_on_both_sides():
    image, mask = ImageStem(Normalize("none"), nn.Identity(), Padding(32, 16))(torch.ones(1, 61, 40), None)
    assert image.shape == (1, 1, 48, 64) and image.sum() == 61 * 40 and mask is None


def test_padding_is_black_with_imagenets_statistics():
    stem = ImageStem(Normalize("min_max"), nn.Identity(), Padding(4, 1), in_chans=3, imagenet=True)
    image, _ = stem(torch.tensor([[[0.0], [5.0], [9.0]]]), torch.tensor([[True, True, False]]))
    black, white = -0.485 / 0.229, (1 - 0.485) / 0.229
    wanted = torch.full((4, 4), black)
    wanted[0, 1] = white
    torch.testing.assert_close(image[0, 0], wanted)
    assert image.shape == (1, 3, 4, 4)


def test_frames_are_means_over_frequency_or_rows_side_by_side():
    map = torch.arange(12.0).view(1, 2, 3, 2)  # (B, C, H, W)
    frames, mask = FinalMap(nn.Identity())(map, torch.tensor([[True, True, False, False]]))
    assert frames.tolist() == [[[2, 8], [3, 9]]]
    assert mask.tolist() == [[True, False]]
    stacked, _ = FinalMap(nn.Identity(), "stack")(map)
    assert stacked.tolist() == [[[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]]


def test_the_heads_norm_comes_after_the_mean_and_is_of_each_frame():
    """Columns have the means (0, 2) and (10, 14), which a layer norm makes (-1, 1); cells (4, 0) it makes (1, -1)."""
    map = torch.tensor([[[[4.0, 10], [-4, 10]], [[0, 13], [4, 15]]]])  # (1, 2, 2, 2)
    norm = nn.LayerNorm(2)
    frames, _ = FinalMap(nn.Identity(), norm=HeadNorm(norm, channels_first=False))(map)
    torch.testing.assert_close(frames, torch.tensor([[[-1.0, 1], [-1, 1]]]), atol=1e-4, rtol=0)


def test_a_norm_of_maps_is_that_of_features():
    norm = nn.GroupNorm(1, 6)
    features = torch.randn(2, 5, 6)
    wanted = torch.nn.functional.layer_norm(features, (6,))
    torch.testing.assert_close(HeadNorm(norm, channels_first=True)(features), wanted, atol=1e-5, rtol=1e-4)


def test_tokens_and_channels_last_become_maps():
    tokens = torch.arange(14.0).view(1, 7, 2)  # a prefix, then 2 rows of 3
    map = ToMap(nn.Identity(), n_prefix=1, height=2)(tokens)
    assert map[0, 0].tolist() == [[2, 4, 6], [8, 10, 12]]
    assert ToMap(nn.Identity())(torch.zeros(1, 3, 4, 5)).shape == (1, 5, 3, 4)
