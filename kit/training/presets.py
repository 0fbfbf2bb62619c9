"""Starting points for a notebook's `preset`: how large a net and how long a training a place can afford."""

from dataclasses import replace

from kit.training.config import Config

# The Conformer with a mean and a linear head; the notebooks change one thing at a time from here.
PRESETS = {
    # For the tests of the notebooks: seconds, and nothing learned but not to say the same of every row.
    "tiny": Config(
        segment_frames=24, width=16, layers=1, heads=2, ff_width=32, kernel_size=5, epochs=3, batch_size=16,
        lr=5e-3, warmup_steps=4, margin_warmup_steps=4, n_folds=2, timm_name="test_resnet",
    ),
    # test_resnet is timm's smallest residual net, 0.4 million weights.
    # The demo competition on two cores: well under a minute a fold. So short a training needs no dropout; an epoch is
    # four passes, for a validation costs as much as half of one.
    "demo": Config(
        segment_frames=64, frame_stack=2, width=64, ff_width=128, kernel_size=15, timm_name="test_resnet", dropout=0.0,
        epochs=6, epoch_steps=75, lr=2e-3, warmup_steps=60, margin_warmup_steps=120, n_folds=3, patience=3,
        time_masks=1, time_mask_frames=8, freq_masks=1, freq_mask_bins=4,
    ),
    # A few thousand utterances on two cores in under an hour, or a first look on a GPU.
    "quick": Config(
        segment_frames=96, frame_stack=4, kernel_size=15, dropout=0.0, timm_name="test_resnet",
        epochs=12, epoch_steps=160, lr=2e-3, warmup_steps=120, margin_warmup_steps=240, n_folds=3, patience=4,
        time_masks=1, time_mask_frames=8, freq_masks=1, freq_mask_bins=4,
    ),
    # A GPU and an evening: the source's Conformer, longer crops.
    "full": Config(segment_frames=192, epochs=60, warmup_steps=2000, margin_warmup_steps=4000, n_folds=5),
}  # fmt: skip


def preset_config(preset: str) -> Config:
    """The config to start from. Raises ValueError listing the presets."""
    return choose_preset(PRESETS, preset)


def choose_preset(presets: dict[str, Config], preset: str) -> Config:
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {preset!r}")
    return presets[preset]


# Images. The last epoch's weights, as in published tables; the held-out fold only writes the log.
IMAGES = Config(
    backbone="timm", timm_name="test_resnet", timm_stem="small", normalize="none", time_masks=0, freq_masks=0,
    image_channels=1, keep="last", weight_decay=0.05, lr=2e-3, n_folds=10,
)  # fmt: skip
IMAGE_PRESETS = {
    "tiny": replace(IMAGES, epochs=2, epoch_steps=3, batch_size=16, warmup_steps=2),
    "demo": replace(IMAGES, epochs=20, epoch_steps=10, batch_size=32, warmup_steps=20),
    # CIFAR-10 on two cores in about an hour, far from trained; the demo's digits in minutes.
    "quick": replace(IMAGES, epochs=10, epoch_steps=120, batch_size=64, warmup_steps=120),
    # A GPU.
    "full": replace(IMAGES, timm_name="resnet18", epochs=60, batch_size=128, warmup_steps=800),
}


def image_config(preset: str, side: int, channels: int) -> Config:
    """The config to start from for images. Those in colour are taken for photographs, whose mirror images are as good.

    Raises ValueError listing the presets.
    """
    return replace(
        choose_preset(IMAGE_PRESETS, preset), segment_frames=side, image_channels=channels,
        image_crop_pixels=side // 8, image_flip=channels == 3,
    )  # fmt: skip
