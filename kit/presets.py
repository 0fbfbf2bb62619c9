"""Starting points for a notebook's `preset`: how large a net and how long a training a place can afford."""

from functools import cache

from kit.competition.folds import Folds
from kit.data.augment import SpecAugment
from kit.data.features import LogMel
from kit.data.image_augment import ImageAugment
from kit.data.images import Pixels
from kit.data.mixup import Mixup
from kit.data.samplers import Balanced
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.parts import unknown
from kit.training.loop import Loop
from kit.training.loss_sums import Sum
from kit.training.losses import BCE, SoftAUC
from kit.training.optim import AdamW
from kit.training.predict import Windows
from kit.training.schedules import WarmupCosine

NAMES = ("tiny", "demo", "quick", "full")
LIGHT_MASKS = (SpecAugment(time_masks=1, time_mask_frames=8, freq_masks=1, freq_mask_bins=4),)


def preset(name: str) -> Experiment:
    """The experiment to start from for sounds with one label: a Conformer, the mean, a linear head.

    "tiny" is for tests, "demo" for the demo on two cores, "quick" for thousands of clips on two cores in under an hour,
    "full" for a GPU, not yet timed. Raises ValueError listing the presets.
    """
    return _chosen(_sounds(), name)


def recording_preset(name: str) -> Experiment:
    """The experiment to start from for recordings with several labels: a timm net, attention by class, windows."""
    return _chosen(_recordings(), name)


def soundscape_preset(name: str) -> Experiment:
    """The experiment to start from for clips and windows of soundscapes with several labels, as in BirdCLEF.

    Crops of 5 s, a timm net with attention by class, BCE beside SoftAUC, mixtures that have both their halves' labels,
    rare classes drawn more often. Nets start from random weights: give `net__backbone__weights`.
    """
    return _chosen(_soundscapes(), name)


def image_preset(name: str, side: int, channels: int) -> Experiment:
    """The experiment to start from for images of `side` pixels.

    Those in colour are taken for photographs, whose mirror images are as good.
    """
    return _chosen(_images(), name).but(
        crop_frames=side, features=Pixels(channels), augment=(ImageAugment(side // 8, flip=channels == 3),)
    )


def _chosen(presets: dict[str, Experiment], name: str) -> Experiment:
    if name not in presets:
        raise ValueError(unknown("no preset", name, presets))
    return presets[name]


@cache
def _sounds() -> dict[str, Experiment]:
    return {
        # Seconds, and nothing learned but not to say the same of every row.
        "tiny": Experiment(
            folds=Folds(2), crop_frames=24,
            net=Net(Conformer(width=16, layers=2, heads=2, ff_width=32, kernel_size=5)),
            optimizer=AdamW(lr=5e-3), schedule=WarmupCosine(4), loop=Loop(epochs=3, batch_size=16),
        ),
        # So short a training needs no dropout; an epoch is four passes, for a validation costs half of one.
        "demo": Experiment(
            folds=Folds(2), crop_frames=64, augment=LIGHT_MASKS,
            net=Net(Conformer(width=48, ff_width=96, kernel_size=15, dropout=0.0, frame_stack=4)),
            optimizer=AdamW(lr=4e-3), schedule=WarmupCosine(40), loop=Loop(epochs=4, epoch_steps=50, patience=4),
        ),
        # In the same minutes a narrow net that sees its rows more often scores better than a wide one: docs/recipes.md.
        "quick": Experiment(
            folds=Folds(3), crop_frames=96, augment=LIGHT_MASKS,
            net=Net(Conformer(width=96, ff_width=192, kernel_size=15, frame_stack=4)),
            optimizer=AdamW(lr=2e-3), schedule=WarmupCosine(160), loop=Loop(epochs=10, epoch_steps=160, patience=10),
        ),
        # Width, batch and passes as the best published solutions of HW4 have them.
        "full": Experiment(
            crop_frames=128, net=Net(Conformer(width=224, layers=3, ff_width=448, dropout=0.2)),
            optimizer=AdamW(lr=2e-3), schedule=WarmupCosine(2000),
            loop=Loop(epochs=70, epoch_steps=1000, batch_size=512, patience=20),
        ),
    }  # fmt: skip


@cache
def _recordings() -> dict[str, Experiment]:
    base = Experiment(loss=BCE(), augment=(SpecAugment(time_masks=1, freq_masks=1),))

    def net(name: str, frequency: str = "stack") -> Net:
        return Net(Timm(name, frequency=frequency), head=ClassAttention())

    return {
        "tiny": base.but(
            features=LogMel(32000, 128, 0.04, 0.06, 300.0, 14000.0), crop_frames=48, predict=Windows(overlap=8),
            net=net("test_byobnet"), folds=Folds(2), schedule=WarmupCosine(1),
            loop=Loop(epochs=1, epoch_steps=2, batch_size=4),
        ),
        # Some ten seconds a fold. So small a net has a view too narrow to know pitch by the borders of the spectrum,
        # and keeps the rows of its last map apart.
        "demo": base.but(
            features=LogMel(32000, 128, 0.04, 0.03, 300.0, 14000.0), crop_frames=64, predict=Windows(overlap=8),
            net=net("test_efficientnet_gn"), folds=Folds(3), optimizer=AdamW(lr=3e-3), schedule=WarmupCosine(20),
            loop=Loop(epochs=2, epoch_steps=34, batch_size=12),
        ),
        # A few thousand minutes on two cores in hours, or a first look on a GPU.
        "quick": base.but(
            features=LogMel(32000, 128, 0.064, 0.02, 60.0, 14000.0), crop_frames=192, predict=Windows(overlap=64),
            net=net("test_resnet"), folds=Folds(3), optimizer=AdamW(lr=2e-3), schedule=WarmupCosine(120),
            loop=Loop(epochs=8, epoch_steps=160, batch_size=16, patience=4),
        ),
        # Windows as the 5th place of RFCX took them.
        "full": base.but(
            features=LogMel(32000, 128, 0.064, 0.01, 60.0, 14000.0), crop_frames=512, predict=Windows(overlap=256),
            net=net("efficientnet_b0", "mean"), schedule=WarmupCosine(1000), loop=Loop(epochs=40),
            augment=(SpecAugment(time_masks=2, time_mask_frames=30, freq_masks=2, freq_mask_bins=12),),
        ),
    }  # fmt: skip


@cache
def _soundscapes() -> dict[str, Experiment]:
    # Losses, mixtures and sampler as in the second and ninth places of BirdCLEF+ 2026.
    base = Experiment(
        net=Net(Timm("test_efficientnet_gn", frequency="stack"), head=ClassAttention()), sampler=Balanced(0.5),
        loss=Sum((BCE(), SoftAUC()), (1.0, 0.5)), mix=Mixup("input", probability=0.5, lam=0.5, labels="union"),
        augment=LIGHT_MASKS, predict=Windows(),
    )  # fmt: skip

    def of_5_seconds(hop_seconds: float, **fields) -> dict:
        mel = LogMel(32000, 128, 0.064, hop_seconds, 20.0, 16000.0, **fields)
        return {"features": mel, "crop_frames": mel.n_frames(5 * 32000)}

    return {
        "tiny": base.but(
            **of_5_seconds(0.1), net__backbone__name="test_byobnet", folds=Folds(2), schedule=WarmupCosine(1),
            loop=Loop(epochs=1, epoch_steps=2, batch_size=4),
        ),
        # Some twenty seconds a fold.
        "demo": base.but(
            **of_5_seconds(0.05), folds=Folds(3), optimizer=AdamW(lr=3e-3), schedule=WarmupCosine(20),
            loop=Loop(epochs=3, epoch_steps=30, batch_size=16),
        ),
        # Some thousand clips on two cores in hours, or a first look on a GPU.
        "quick": base.but(
            **of_5_seconds(0.032, most_seconds=60.0, bits=8), folds=Folds(3), optimizer=AdamW(lr=1e-3),
            net__backbone=Timm("tf_efficientnet_lite0"), schedule=WarmupCosine(200),
            loop=Loop(epochs=10, epoch_steps=200, batch_size=32, patience=4),
        ),
        # A contest's 35,549 clips on a GPU.
        "full": base.but(
            **of_5_seconds(0.016, most_seconds=60.0, bits=8), optimizer=AdamW(lr=5e-4, weight_decay=1e-4),
            net__backbone=Timm("tf_efficientnetv2_s"), schedule=WarmupCosine(1000),
            loop=Loop(epochs=30, batch_size=64, ema_decay=0.999, patience=8),
            augment=(SpecAugment(time_masks=1, time_mask_frames=20, freq_masks=1, freq_mask_bins=30),),
        ),
    }  # fmt: skip


@cache
def _images() -> dict[str, Experiment]:
    # The last epoch's weights, as in published tables; the held-out fold only writes the log.
    base = Experiment(
        features=Pixels(), crop_frames=8, augment=(), net=Net(Timm("test_resnet", stem="small", normalize="none")),
        folds=Folds(10), optimizer=AdamW(lr=2e-3, weight_decay=0.05),
    )  # fmt: skip

    def loop(**fields) -> Loop:
        return Loop(keep="last", **fields)

    return {
        "tiny": base.but(schedule=WarmupCosine(2), loop=loop(epochs=2, epoch_steps=3, batch_size=16)),
        "demo": base.but(schedule=WarmupCosine(20), loop=loop(epochs=20, epoch_steps=10)),
        # CIFAR-10 on two cores in about an hour, far from trained; the demo's digits in minutes.
        "quick": base.but(schedule=WarmupCosine(120), loop=loop(epochs=10, epoch_steps=120, batch_size=64)),
        # A GPU.
        "full": base.but(
            net__backbone__name="resnet18", schedule=WarmupCosine(800), loop=loop(epochs=60, batch_size=128)
        ),
    }
