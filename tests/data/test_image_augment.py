import pytest
import torch
from scipy import stats

from kit.data.image_augment import CropPlan, ImageAugment, ImageCrops
from kit.data.images import Pixels

IMAGE = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])


def plan_of(top, left, mirrored=False):
    return CropPlan(torch.tensor([top]), torch.tensor([left]), torch.tensor([mirrored]))


def cut(top, left, mirrored=False, border=1):
    return ImageCrops(1, border, True).apply(IMAGE[None], plan_of(top, left, mirrored))[0].tolist()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_by_hand():
    assert cut(1, 1) == IMAGE.tolist()
    assert cut(0, 0) == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert cut(2, 1) == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert cut(1, 2) == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]


def test_mirrored_crops_by_hand():
    assert cut(1, 1, True) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert cut(0, 0, True) == [[0, 0, 0], [2, 1, 0], [5, 4, 0]]
    assert cut(0, 0, True, border=0) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]


def test_channels_stay_together():
    """Rows of pixels (1, 2, 3), (4, 5, 6): mirrored, the pixels change places, their channels do not."""
    image = torch.tensor([[[1.0, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]])
    mirrored = ImageCrops(3, 0, True).apply(image, plan_of(0, 0, True))
    assert mirrored[0].tolist() == [[4, 5, 6, 1, 2, 3], [10, 11, 12, 7, 8, 9]]
    moved = ImageCrops(3, 1).apply(image, plan_of(1, 0))
    assert moved[0].tolist() == [[0, 0, 0, 1, 2, 3], [0, 0, 0, 7, 8, 9]]


def test_each_image_has_its_own_crop_and_the_input_is_untouched():
    images = torch.stack([IMAGE, IMAGE + 10])
    before = images.clone()
    plan = CropPlan(torch.tensor([1, 0]), torch.tensor([1, 1]), torch.tensor([True, False]))
    cropped = ImageCrops(1, 1, True).apply(images, plan, in_place=True)
    assert cropped[0].tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert cropped[1].tolist() == [[0, 0, 0], [11, 12, 13], [14, 15, 16]]
    assert torch.equal(images, before) and cropped.shape == images.shape and cropped.dtype == images.dtype


def test_off_it_changes_nothing():
    augment, images = ImageCrops(3), torch.rand(5, 4, 12)
    assert torch.equal(augment.apply(images, augment.draw(torch.full((5,), 4), 12, generator())), images)


def test_plans_are_uniform_and_of_the_generator_alone():
    augment, lengths = ImageCrops(1, 2, True), torch.full((5000,), 8)
    one, two, other = (augment.draw(lengths, 8, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.top, two.top) and torch.equal(one.left, two.left) and torch.equal(one.mirrored, two.mirrored)
    assert not torch.equal(one.top, other.top) and not torch.equal(one.top, one.left)
    for corner in (one.top, one.left):
        assert stats.chisquare(corner.bincount(minlength=5)).pvalue > 1e-3 and corner.max() == 4
    assert one.mirrored.float().mean().item() == pytest.approx(0.5, abs=0.035)  # sd 0.007
    assert not ImageCrops(1, 2).draw(lengths, 8, generator()).mirrored.any()


def test_the_part_takes_its_channels_from_the_features():
    assert ImageAugment(2, flip=True).make(Pixels(3)) == ImageCrops(3, 2, True)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="crop_pixels must be at least 0, got -1"):
        ImageAugment(-1)
    with pytest.raises(ValueError, match="channels must be one of 1, 3, got 2"):
        Pixels(2)
