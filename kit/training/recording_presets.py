"""Starting points for recordings with several labels: 128 mel bins, a timm net, the detector's head, windows."""

from dataclasses import replace

from kit.data.audio import MelSpec
from kit.training.config import Config

RECORDINGS = Config(
    backbone="timm", head="sed", loss="bce", eval_windows="max", time_masks=1, freq_masks=1, mix_alpha=0.1,
)  # fmt: skip
PRESETS = {
    # For the tests of the notebooks: seconds, and nothing learned.
    "tiny": replace(
        RECORDINGS, mel=MelSpec(32000, 128, 0.04, 0.06, 300.0, 14000.0), segment_frames=48, eval_overlap=8,
        timm_name="test_byobnet", timm_frequency="stack", n_folds=2, epochs=1, epoch_steps=2, batch_size=4,
        warmup_steps=1,
    ),
    # The demo rainforest on two cores: some ten seconds a fold. So small a net has a view too narrow to know pitch by
    # the borders of the spectrum, and keeps the rows of its last map apart.
    "demo": replace(
        RECORDINGS, mel=MelSpec(32000, 128, 0.04, 0.03, 300.0, 14000.0), segment_frames=64, eval_overlap=8,
        timm_name="test_efficientnet_gn", timm_frequency="stack", n_folds=3, epochs=2, epoch_steps=34, batch_size=12,
        lr=3e-3, warmup_steps=20,
    ),
    # A few thousand minutes on two cores in hours, or a first look on a GPU.
    "quick": replace(
        RECORDINGS, mel=MelSpec(32000, 128, 0.064, 0.02, 60.0, 14000.0), segment_frames=192, eval_overlap=64,
        timm_name="test_resnet", timm_frequency="stack", n_folds=3, epochs=8, epoch_steps=160, batch_size=16,
        lr=2e-3, warmup_steps=120, patience=4,
    ),
    # A GPU and an evening: windows as the 5th place of RFCX took them.
    "full": replace(
        RECORDINGS, mel=MelSpec(32000, 128, 0.064, 0.01, 60.0, 14000.0), segment_frames=512, eval_overlap=256,
        timm_name="efficientnet_b0", n_folds=5, epochs=40, batch_size=32, warmup_steps=1000, time_masks=2,
        time_mask_frames=30, freq_masks=2, freq_mask_bins=12,
    ),
}  # fmt: skip


def recording_config(preset: str) -> Config:
    """The config to start from. Raises ValueError listing the presets."""
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return PRESETS[preset]
