import json
from dataclasses import replace

import pytest

from kit.data.audio import MelSpec
from kit.training.config import Config
from kit.training.presets import PRESETS, preset_config


def test_a_config_survives_json(tmp_path):
    config = Config(name="a", lr=2e-3, mel=MelSpec(n_mels=64))
    (tmp_path / "c.json").write_text(json.dumps(config.to_dict()))
    assert Config.load(tmp_path / "c.json") == config


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_configs(preset):
    assert preset_config(preset).epochs >= 1


def test_an_unknown_preset_lists_the_choices():
    with pytest.raises(ValueError, match="preset must be one of tiny, demo, quick, full, got 'fast'"):
        preset_config("fast")


LPC = {"mix": "lpc", "head": "cosine"}
FAULTS = [
    ({"head": "arcface"}, "head must be one of linear, cosine, am_softmax, sed, got 'arcface'"),
    ({"pooling": "max"}, "pooling must be one of mean, attention, statistics, gem, sed, got 'max'"),
    ({"margin": 1.5}, r"margin must be in \[0, 1\), got 1.5"),
    ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
    ({"lr": 0.0}, "lr must be above 0, got 0.0"),
    ({"lr": float("nan")}, "lr must be above 0, got nan"),
    ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ({"clip_norm": -1.0}, "clip_norm must be at least 0, got -1.0"),
    ({"epochs": 2.5}, "epochs must be of type int, got 2.5"),
    ({"epochs": True}, "epochs must be of type int, got True"),
    ({"name": "../up"}, "name must be usable as a folder's name"),
    ({"width": 50}, r"width must be a multiple of heads \(4\), got 50"),
    ({"kernel_size": 30}, "kernel_size must be odd, got 30"),
    ({"mix": "cutmix"}, "mix must be one of none, input, wave, manifold, last_layer, embedding, lpc, got 'cutmix'"),
    ({"mix": "wave"}, 'features must be "wave" with mix "wave", got \'mel\''),
    ({"mix_alpha": -1.0}, "mix_alpha must be at least 0, got -1.0"),
    ({"mix_alpha": float("inf")}, "mix_alpha must be finite, got inf"),
    ({"mix_probability": 1.5}, r"mix_probability must be in \[0, 1\], got 1.5"),
    ({"mix_from_epoch": 0}, "mix_from_epoch must be at least 1, got 0"),
    ({"mix": "input", "mix_from_epoch": 21}, r"mix_from_epoch must be at most epochs \(20\), got 21"),
    ({"mix_from_epoch": 5, "mix_until_epoch": 4}, r"0 or at least mix_from_epoch \(5\), got 4"),
    ({"mix_places": "layer1"}, "mix_places must be of type tuple, got 'layer1'"),
    ({"mix_places": ("stem",)}, r"mix_places must be empty unless mix is \"manifold\", got \('stem',\)"),
    ({"mix": "manifold", "mix_places": ("stem", "stem")}, "mix_places must name each place once, got"),
    ({"mix": "lpc"}, "head must be cosine or am_softmax with mix \"lpc\", which is about angles, got 'linear'"),
    ({"replace_prototypes": True}, "head must be cosine or am_softmax with replace_prototypes, which is about angles"),
    (
        {**LPC, "lpc_with": "lpc"},
        "lpc_with must be one of none, input, wave, manifold, last_layer, embedding, got 'lpc'",
    ),
    ({**LPC, "lpc_with": "wave"}, 'features must be "wave" with mix "wave", got \'mel\''),
    ({**LPC, "lpc_swap": "closest"}, "lpc_swap must be one of none, least, most, got 'closest'"),
    ({**LPC, "lpc_order": 0}, "lpc_order must be at least 1, got 0"),
    ({**LPC, "lpc_order": 16.0}, "lpc_order must be of type int, got 16.0"),
    ({**LPC, "lpc_formant": -1.0}, "lpc_formant must be at least 0, got -1.0"),
    ({**LPC, "lpc_residual": float("inf")}, "lpc_residual must be finite, got inf"),
    ({**LPC, "lpc_recombination": float("nan")}, "lpc_recombination must be at least 0, got nan"),
    ({**LPC, "lpc_instance": 1.5}, r"lpc_instance must be in \[0, 1\], got 1.5"),
    ({**LPC, "lpc_prototypes": -0.1}, r"lpc_prototypes must be in \[0, 1\], got -0.1"),
    ({**LPC, "lpc_prototypes": 0.1, "lpc_residual": 0.0}, "lpc_prototypes must be 0 where lpc_formant or lpc_residual"),
    ({"lpc_with": "input"}, "lpc_with must be left out unless mix is \"lpc\", got 'input'"),
    ({"lpc_swap": "most"}, "lpc_swap must be left out unless mix is \"lpc\", got 'most'"),
    ({"lpc_prototypes": 0.1}, 'lpc_prototypes must be left out unless mix is "lpc", got 0.1'),
    ({**LPC, "lpc_with": "input", "mix_from_epoch": 21}, r"mix_from_epoch must be at most epochs \(20\), got 21"),
    ({**LPC, "mix_places": ("stem",)}, r"mix_places must be empty unless mix is \"manifold\", got \('stem',\)"),
    ({"n_base": -1}, "n_base must be at least 0, got -1"),
    ({"loss": "mse"}, "loss must be one of cross_entropy, bce, focal, got 'mse'"),
    ({"focal_gamma": -1.0}, "focal_gamma must be at least 0, got -1.0"),
    ({"positive_weight": float("inf")}, "positive_weight must be finite, got inf"),
    ({"pseudo_decay": 1.5}, r"pseudo_decay must be in \[0, 1\], got 1.5"),
    ({"eval_windows": "mean"}, "eval_windows must be one of none, max, top, got 'mean'"),
    ({"eval_overlap": 128}, r"eval_overlap must be below segment_frames \(128\), got 128"),
    ({"eval_windows": "max", "eval_crops": 3}, "eval_crops must be 0 with eval_windows 'max', got 3"),
    ({"pseudo": "x.parquet"}, 'loss must be "bce" or "focal" with pseudo, got "cross_entropy"'),
    ({"mix_unknown_share": 0.1}, 'loss must be "bce" or "focal" with mix_unknown_share, got "cross_entropy"'),
    ({"loss": "bce", "mix": "lpc", "head": "cosine"}, "mix must not be \"lpc\", .* with loss 'bce'"),
    ({"head": "sed", "backbone": "transformer"}, 'head must not be "sed" with backbone "transformer"'),
]


IMAGES = {
    "backbone": "timm", "normalize": "none", "time_masks": 0, "freq_masks": 0,
    "image_channels": 3, "segment_frames": 32,
}  # fmt: skip
FAULTS += [
    ({"timm_stem": "smal"}, "timm_stem must be one of as_built, small, got 'smal'"),
    ({"timm_stem": "small"}, 'timm_stem must be "as_built" unless backbone is "timm", got \'small\''),
    ({"image_channels": -1}, "image_channels must be at least 0, got -1"),
    ({"image_crop_pixels": 4}, "image_crop_pixels must be 0 with image_channels 0, got 4"),
    ({"image_flip": True}, "image_flip must be False with image_channels 0, got True"),
    ({**IMAGES, "backbone": "conformer"}, "backbone must be 'timm' with image_channels 3, got 'conformer'"),
    ({**IMAGES, "features": "wave"}, "features must be 'mel' with image_channels 3, got 'wave'"),
    ({**IMAGES, "normalize": "mean"}, "normalize must be 'none' with image_channels 3, got 'mean'"),
    ({**IMAGES, "time_masks": 2}, "time_masks must be 0 with image_channels 3, got 2"),
    ({**IMAGES, "freq_masks": 1}, "freq_masks must be 0 with image_channels 3, got 1"),
    ({**IMAGES, "eval_crops": 1}, "eval_crops must be 0 with image_channels 3, got 1"),
    ({**IMAGES, "mix": "lpc", "head": "cosine"}, 'mix must not be "lpc" with image_channels 3, got "lpc"'),
    ({"keep": "first"}, "keep must be one of best, last, got 'first'"),
    ({"keep": "last", "average_best": 2}, 'average_best must be 1 with keep "last", got 2'),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_bad_field_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), **change)


def test_unknown_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="widht is no field; the fields are name, seed"):
        Config.from_dict({"widht": 3})
    with pytest.raises(ValueError, match="mel.bins is no field; the fields are sample_rate_hz"):
        Config.from_dict({"mel": {"bins": 3}})
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(ValueError, match="c.json: a config must be a JSON object, got list"):
        Config.load(tmp_path / "c.json")
    with pytest.raises(ValueError, match="gone.json"):
        Config.load(tmp_path / "gone.json")
