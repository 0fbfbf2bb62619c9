import json

import pytest

from kit.data.image_augment import ImageAugment
from kit.data.stretches import stretch_units
from kit.experiment import Experiment
from kit.presets import NAMES, image_preset, preset, recording_preset, soundscape_preset

KINDS = {
    "sounds": preset, "recordings": recording_preset, "soundscapes": soundscape_preset,
    "images": lambda name: image_preset(name, 32, 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_preset_survives_strict_json(kind, name):
    experiment = KINDS[kind](name)
    text = json.dumps(experiment.to_dict(), allow_nan=False)
    assert Experiment.from_dict(json.loads(text)) == experiment
    assert Experiment.from_dict(json.loads(text)).to_dict() == json.loads(text)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_preset_lists_the_choices(kind):
    with pytest.raises(ValueError, match="^no preset 'fast'; there are tiny, demo, quick, full$"):
        KINDS[kind]("fast")
    with pytest.raises(ValueError, match=r"^no preset 'quik' \(did you mean quick\?\); there are tiny"):
        KINDS[kind]("quik")


@pytest.mark.parametrize("name", NAMES)
def test_images_in_colour_are_cut_and_mirrored_and_grey_ones_only_cut(name):
    photos, digits = image_preset(name, 32, 3), image_preset(name, 8, 1)
    assert (photos.crop_frames, photos.features.channels) == (32, 3)
    assert (digits.crop_frames, digits.features.channels) == (8, 1)
    assert photos.augment == (ImageAugment(4, flip=True),) and digits.augment == (ImageAugment(1, flip=False),)
    for experiment in (photos, digits):
        assert (experiment.net.backbone.stem, experiment.loop.keep) == ("small", "last")


def test_a_table_of_cifar_is_of_sixty_epochs():
    full = image_preset("full", 32, 3)
    assert full.loop.epochs >= 60 and full.net.backbone.name == "resnet18" and full.loop.epoch_steps == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_window_of_a_soundscape_is_one_crop(name):
    """Five seconds, wherever they begin, have the frames of a crop, or one less, and are seen at once."""
    experiment = soundscape_preset(name)
    mel = experiment.features
    counts = {stretch_units(5.0 * n, 5.0 * n + 5, 60 * 32000, mel, "mel")[1] for n in range(12)}
    assert counts <= {experiment.crop_frames - 1, experiment.crop_frames}
    assert experiment.net.backbone.weights == "" and experiment.loss.task == "multi"
