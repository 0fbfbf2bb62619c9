"""An experiment as a value of parts: `base.but(name="mine", net__pooling=GeM(p=4.0), optimizer__lr=3e-3)`."""

import json
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import kit
from kit.competition.folds import Folds
from kit.competition.metrics import Metric, as_metric
from kit.competition.strict_json import parse_json
from kit.data.augment import SpecAugment
from kit.data.features import LogMel
from kit.data.samplers import Shuffled
from kit.models.net import Net
from kit.part_json import build, from_json, to_json
from kit.parts import MOST_SEED, Part, as_part, at_least, but, is_part, part, part_name, walk
from kit.training.finish import BaseSession
from kit.training.loop import Loop
from kit.training.losses import CrossEntropy
from kit.training.optim import AdamW
from kit.training.predict import WholeClip
from kit.training.pseudo import PseudoLabels
from kit.training.schedules import WarmupCosine
from kit.training.soft_labels import SoftLabels
from kit.training.start import StartFrom
from kit.training.views import LPCViews

MOST_NAME = 200  # bytes: a folder's name may have 255, and what is made beside it is longer


@part
class Experiment:
    """All of an experiment. Lengths in frames of the log-mel; a field of None is not used.

    Each field is a part of the kit or one of your own: see CONTRIBUTING.md for what each must do.
    Raises ValueError naming the field, the rule and the value.
    """

    name: str = "run"
    seed: int = 0
    folds: Folds = Folds()  # experiments that share it are compared row by row
    features: Any = LogMel()
    crop_frames: int = 128  # of a training crop
    crops: Any = None  # how they are cut; None is one an item, around a box where there are boxes
    augment: tuple = (SpecAugment(),)
    net: Any = Net()
    mix: Any = None
    views: LPCViews | None = None
    loss: Any = CrossEntropy()
    pseudo: PseudoLabels | SoftLabels | None = None
    sampler: Any = Shuffled()
    optimizer: Any = AdamW()
    schedule: Any = WarmupCosine()
    loop: Loop = Loop()
    session: BaseSession | None = None
    predict: Any = WholeClip()
    metric: Metric | None = None  # None is the competition's
    start_from: StartFrom | None = None

    def check(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, _as_parts(value))
        if isinstance(self.metric, str | Part):
            metric = self.metric if isinstance(self.metric, str) else self.metric.make()
            object.__setattr__(self, "metric", as_metric(metric))
        self._check_kinds()
        _check_name(self.name)
        at_least(self, 0, "seed")
        at_least(self, 1, "crop_frames")
        if self.seed > MOST_SEED:
            raise ValueError(f"seed must be at most {MOST_SEED}, got {self.seed}")
        for value in vars(self).values():
            for inner in walk(value):
                if hasattr(inner, "check_with"):
                    inner.check_with(self)

    def _check_kinds(self) -> None:
        for name, value in vars(self).items():
            if name in ("name", "seed", "crop_frames"):
                continue
            if name == "augment":
                if not all(map(is_part, value)):
                    raise ValueError(f"augment must be a tuple of parts, got {value!r}")
            elif not (is_part(value) or value is None and name in OPTIONAL):
                raise ValueError(f"{name} must be a part{' or None' if name in OPTIONAL else ''}, got {value!r}")
            elif name == "features" and not hasattr(value, "packs"):
                raise ValueError(f"features must be LogMel, Wave or Pixels, or have packs, got {part_name(value)}")
            elif name in EXACT and value is not None and type(value) not in EXACT[name]:
                allowed = " or ".join(one.__name__ for one in EXACT[name])
                raise ValueError(f"{name} must be a {allowed}, got {part_name(value)}")
            elif name in HOMES and value is not None:
                home = (value.target if isinstance(value, Part) else type(value)).__module__
                if home.startswith("kit.") and home not in HOMES[name]:
                    raise ValueError(
                        f"{name} must be a part of {HOMES[name][0]} or one of your own, got {part_name(value)}"
                    )

    def but(self, **changes: Any) -> "Experiment":
        """The same with fields changed; `net__pooling` is the field pooling of net. A typo lists the names."""
        return but(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """As strict JSON holds it."""
        return {name: to_json(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Any, find: Callable[[str, str], Any] | None = None) -> "Experiment":
        """The experiment of a JSON object; fields that it lacks have their defaults, an unknown one is an error.

        find(module, name) gives parts of one's own; None imports them.
        """
        if not isinstance(values, dict):
            raise ValueError(f"an experiment must be a JSON object, got {type(values).__name__}")
        return build(cls, {name: from_json(value, find, name) for name, value in values.items()})

    @classmethod
    def load(cls, path: str | Path, find: Callable[[str, str], Any] | None = None) -> "Experiment":
        """The experiment in a JSON file. Raises ValueError naming the file."""
        try:
            return cls.from_dict(parse_json(Path(path).read_bytes()), find)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


# Where the kit's own parts of a field are.
HOMES = {
    "features": ("kit.data.features", "kit.data.images"), "net": ("kit.models.net",), "mix": ("kit.data.mixup",),
    "loss": ("kit.training.losses", "kit.training.distil", "kit.training.loss_sums", "kit.training.pseudo_frames"),
    "crops": ("kit.data.division",), "sampler": ("kit.data.samplers", "kit.data.negatives"),
    "optimizer": ("kit.training.optim",), "schedule": ("kit.training.schedules",),
    "predict": ("kit.training.predict", "kit.training.shifts"),
}  # fmt: skip
OPTIONAL = ("crops", "mix", "views", "pseudo", "session", "metric", "start_from")
EXACT = {
    "folds": (Folds,), "views": (LPCViews,), "pseudo": (PseudoLabels, SoftLabels), "loop": (Loop,),
    "session": (BaseSession,), "metric": (Metric,), "start_from": (StartFrom,),
}  # fmt: skip


STOPS = ("loop__minutes",)  # when a process stops, not what is trained in the end


def changes(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """What differs between two experiments' JSON, by field: {"net__pooling__p": (3.0, 4.0)}; STOPS don't count.

    A field that one of them lacks, as JSON written before there was such a field does, has its default there.
    """
    if old == new or path in STOPS:
        return {}
    if isinstance(old, dict) and isinstance(new, dict) and old.get("part") == new.get("part"):
        changed, name = {}, old.get("part")
        for key in {**old, **new}:
            before, after = (side[key] if key in side else _default(name, key) for side in (old, new))
            changed |= changes(before, after, f"{path}__{key}" if path else key)
        return changed
    return {path: (old, new)}


def _default(name: str | None, key: str) -> Any:
    """A field's default as JSON holds it, of an experiment or one of the kit's parts; None where there is none."""
    if name is not None and name not in kit.PARTS:
        return None
    known = (Experiment if name is None else getattr(kit, name)).__dataclass_fields__
    default = known[key].default if key in known else MISSING
    return None if default is MISSING else json.loads(json.dumps(to_json(default)))


def told(changed: dict[str, tuple[Any, Any]]) -> str:
    """Those changes as one line."""
    return ", ".join(f"{name} {_short(old)} -> {_short(new)}" for name, (old, new) in changed.items())


def _short(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{key}={_short(item)}" for key, item in value.items() if key != "part")
        return f"{value.get('part')}({inside})"
    return json.dumps(value, ensure_ascii=False)


def _as_parts(value: Any) -> Any:
    return tuple(map(as_part, value)) if isinstance(value, tuple) else as_part(value)


def _check_name(name: str) -> None:
    if len(name.encode("utf-8", "replace")) > MOST_NAME:
        raise ValueError(f"name must be usable as a folder's name, of at most {MOST_NAME} bytes, got {name!r}")
    if not name or any(mark in name for mark in "/\\\0") or name.startswith("."):
        raise ValueError(f"name must be usable as a folder's name, got {name!r}")
