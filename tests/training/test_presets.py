import pytest

from kit.training.presets import IMAGE_PRESETS, PRESETS, image_config


@pytest.mark.parametrize("preset", IMAGE_PRESETS)
def test_images_of_both_kinds_have_their_config(preset):
    photos, digits = (vars(image_config(preset, *shape)) for shape in ((32, 3), (8, 1)))
    names = ("segment_frames", "image_channels", "image_crop_pixels", "image_flip", "timm_stem", "keep")
    assert [photos[name] for name in names] == [32, 3, 4, True, "small", "last"]
    assert [digits[name] for name in names] == [8, 1, 1, False, "small", "last"]


def test_presets_have_the_same_names_and_an_unknown_one_lists_them():
    assert list(IMAGE_PRESETS) == list(PRESETS)
    with pytest.raises(ValueError, match="preset must be one of tiny, demo, quick, full, got 'fast'"):
        image_config("fast", 32, 3)


def test_a_table_of_cifar_is_of_sixty_epochs():
    full = image_config("full", 32, 3)
    assert full.epochs >= 60 and full.timm_name == "resnet18" and full.epoch_steps == 0
