"""One frozen dataclass that says all of an experiment: `replace(BASE, name="boss", head="am_softmax")`."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kit.competition.strict_json import parse_json
from kit.data.audio import MelSpec
from kit.training.rules import check


@dataclass(frozen=True)
class Config:
    """An experiment. Lengths in frames, rates and shares as fractions; 0 turns an option off.

    Raises ValueError naming the field, the rule and the value.
    """

    name: str = "run"
    seed: int = 0

    # Folds: experiments that share these two are compared row by row.
    n_folds: int = 5
    fold_seed: int = 0

    # Features. "mel" packs log-mels; "wave" packs the audio and computes log-mels by the batch.
    features: str = "mel"
    mel: MelSpec = field(default_factory=MelSpec)  # for audio; where files hold log-mels it is not used
    segment_frames: int = 128  # a training crop

    # Waveform augmentation, with features "wave" alone: the chance of each step, and the range it draws from.
    wave_probability: float = 0.0
    wave_snr_db: tuple = (10.0, 40.0)
    wave_gain_db: tuple = (-6.0, 6.0)
    wave_pitch_semitones: tuple = (-2.0, 2.0)
    wave_stretch_rate: tuple = (0.9, 1.1)
    wave_background: str = ""  # a folder of noises; empty for none

    # SpecAugment (0 masks: none).
    time_masks: int = 2
    time_mask_frames: int = 10
    freq_masks: int = 2
    freq_mask_bins: int = 8
    mask_fill: str = "mean"

    # Mixup. λ ~ Beta(mix_alpha, mix_alpha); 0 takes the mode's own: 1, and 0.1 for "last_layer" and "embedding".
    mix: str = "none"  # "input", "wave", "manifold", "last_layer", "embedding", or "lpc", whose fields follow
    mix_alpha: float = 0.0
    mix_probability: float = 1.0  # that a batch is mixed
    mix_per_row: bool = False  # a λ for each item, not one for the batch
    mix_places: tuple = ()  # for "manifold", such as ("input", "layer1"); empty for the input and every stage
    mix_from_epoch: int = 1  # as the log counts them
    mix_until_epoch: int = 0  # 0 is the last

    # Mix "lpc": losses on the embeddings e, f, r of three views, speech, formant and residual. A weight of 0 is off.
    lpc_order: int = 16
    lpc_with: str = "none"  # one of the mixups above besides, drawn by their fields, the same for the three views
    lpc_formant: float = 1.0  # weight of the formant view's classification, by prototypes of its own
    lpc_residual: float = 0.5  # and of the residual view's
    lpc_recombination: float = 0.0  # weight of 1 − cos(e, f + r)
    lpc_shuffled: float = 0.0  # and of the same with f and r from other utterances of the class
    lpc_instance: float = 0.1  # share of f, and of r, in a mixture with e, and weight of its classification
    lpc_swap: str = "none"  # "least" or "most": e with the residual of the least or most similar other utterance
    lpc_swap_weight: float = 1.0
    lpc_prototypes: float = 0.0  # after training: share of the formant's, then the residual's prototypes in the net's

    # For few-shot protocols.
    replace_prototypes: bool = False  # after training each becomes its class's mean embedding; not for head "linear"
    n_base: int = 0  # only the first so many classes are trained and predicted; 0 is all

    # Backbone. The defaults are the source's Conformer.
    backbone: str = "conformer"
    timm_name: str = "resnet18"
    timm_frequency: str = "mean"  # over the final map's rows, or "stack": side by side, so that pitch is not forgotten
    normalize: str = "mean"  # each utterance's own mean (and deviation) taken away, by bin
    frame_stack: int = 1  # neighbouring frames that share a position
    width: int = 160
    layers: int = 2
    heads: int = 4
    ff_width: int = 320
    kernel_size: int = 31
    dropout: float = 0.1
    conv_norm: str = "batch"
    convolution_first: bool = False

    # Images in place of log-mels, packed by kit.competition.images. 0 channels: sounds.
    image_channels: int = 0
    image_crop_pixels: int = 0  # a training image is a crop of itself in a black border of this width
    image_flip: bool = False  # and half of the time its mirror image
    timm_stem: str = "as_built"  # "small", for images of 8 to 64 pixels: one convolution of stride 1, no max-pool

    # Pooling and head. The margin grows from 0 over margin_warmup_steps; scale is 30 for AM-softmax, 16 for cosine.
    pooling: str = "mean"
    head: str = "linear"
    scale: float = 30.0
    margin: float = 0.2
    margin_warmup_steps: int = 0

    # Several labels a row, some unknown (loss "bce" or "focal"): the loss is over the known pairs alone.
    loss: str = "cross_entropy"  # for one label a row
    focal_gamma: float = 2.0
    positive_weight: float = 1.0  # of what is there, against what is not
    positive_decay: float = 1.0  # what an epoch leaves of that weight's distance from 1
    pseudo: str = ""  # a file of kit.training.pseudo; half of each batch is then around its labels
    pseudo_weight: float = 1.0  # of a pseudo label that says a class is there
    pseudo_decay: float = 1.0  # what an epoch leaves of it
    mix_unknown_share: float = 0.0  # a smaller part of a mixture, being unknown, does not make it unknown

    # Optimiser: AdamW, linear warm-up, cosine to zero.
    epochs: int = 20
    epoch_steps: int = 0  # steps between validations; 0 is one pass over the training rows
    batch_size: int = 32  # of all processes together
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 1000
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    precision: str = "auto"  # bf16 where the card has it, fp16 on older cards, fp32 on a CPU
    step: str = "eager"  # "compiled": by torch.compile; "graph": that, and on a GPU a step is one CUDA graph
    workers: int = 0  # DataLoader processes; worth it only with waveform augmentation

    # Early stopping on the competition's metric, and what is kept.
    patience: int = 15  # validations without a better score
    average_best: int = 1  # weights averaged over this many best validations
    keep: str = "best"  # or "last": the last epoch's weights, and no early stopping

    # Prediction.
    eval_crops: int = 0  # 0 takes the whole utterance, n the mean over n evenly spaced crops
    eval_frames: int = 0  # padded frames in one batch; 0 is what suits the device
    eval_windows: str = "none"  # "max" or "top" (the mean of the eval_top highest) over windows of segment_frames
    eval_overlap: int = 0  # frames that neighbouring windows share, at least
    eval_top: int = 3

    def __post_init__(self):
        check(self)

    @property
    def drawn_mix(self) -> str:
        """Which mixup plans are drawn: mix, or with "lpc" what goes with it."""
        return self.lpc_with if self.mix == "lpc" else self.mix

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The config of a JSON object; an unknown key is an error."""
        _check_keys(values, cls)
        values = dict(values)
        if "mel" in values:
            _check_keys(values["mel"], MelSpec, "mel.")
            values["mel"] = MelSpec(**values["mel"])
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    @classmethod
    def load(cls, path: str | Path) -> "Config":
        """The config in a JSON file. Raises ValueError naming the file."""
        try:
            return cls.from_dict(parse_json(Path(path).read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _check_keys(values: Any, cls: type, prefix: str = "") -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{prefix or 'a config'} must be a JSON object, got {type(values).__name__}")
    known = [item.name for item in fields(cls)]
    for key in values:
        if key not in known:
            raise ValueError(f"{prefix}{key} is no field; the fields are {', '.join(known)}")
