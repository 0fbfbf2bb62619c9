"""An audio competition kit: an experiment is a value of parts, a comparison a list of them.

`from kit import …` gives the verbs and the parts; each is loaded when it is touched.
"""

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

VERBS = {
    name: f"kit.{module}"
    for module, names in {
        "competition.competition": "open_competition Competition",
        "competition.metrics": "METRICS",
        "competition.scores": "class_average_precision",
        "competition.labels": "known_matrix",
        "data.inspect": "duplicates label_from_metadata train_test_auc",
        "competition.images": "image_shape pick_images",
        "data.audio": "load_wave",
        "data.store": "pack",
        "parts": "Part part",
        "experiment": "Experiment changes",
        "presets": "preset recording_preset soundscape_preset image_preset",
        "training.crossval": "crossval",
        "training.fit": "fit",
        "training.predict": "embed",
        "training.runs": "Run load_run",
        "training.checkpoint": "load_model",
        "training.framewise": "framewise_probability",
        "training.pseudo_rounds": "make_pseudo_labels round_report",
        "training.soft_rounds": "make_soft_labels label_report",
        "inference.predict": "predict",
        "inference.export": "export",
        "inference.blend_row": "read_blend",
        "results.compare": "compare compare_steps cv_table",
        "results.bootstrap": "interval paired",
        "results.record": "record record_predictions",
        "results.check": "check_submission",
        "results.submission": "score_submission",
        "results.ledger": "read_ledger",
        "results.lb": "lb_table spearman to_html",
        "results.blend": "average blend_runs blend_table fitted_weights",
        "results.priors": "cross_fitted",
        "results.post": "post_table chosen corrected post_processed",
        "results.post_file": "save_post",
        "results.advice": "advise",
        "results.choose": "choose_two",
    }.items()
    for name in names.split()
}
MODULES_SHOWN = {"figures": "kit.results.figures", "lpc": "kit.data.lpc"}  # given as a whole
ROOMS = (
    "competition",
    "data",
    "models",
    "training",
    "results",
    "inference",
)  # of the kit's parts: each class under @part is public by its name


@cache
def _parts() -> dict[str, str]:
    """The module of each part, told from the sources without importing them. Raises ImportError for a name twice."""
    home, found = Path(__file__).parent, {}
    for room in ROOMS:
        for path in sorted((home / room).glob("*.py")):
            module = f"kit.{room}.{path.stem}"
            for name in re.findall(r"^@part\nclass (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                if name in found:
                    raise ImportError(f"parts must have names of their own, got {name} in {found[name]} and {module}")
                found[name] = module
    return found


def __getattr__(name: str) -> Any:
    if name == "PARTS":
        return _parts()
    if name in MODULES_SHOWN:
        return importlib.import_module(MODULES_SHOWN[name])
    module = VERBS.get(name) or (None if name.startswith("_") else _parts().get(name))
    if module is None:
        raise AttributeError(f"kit has no {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *VERBS, *MODULES_SHOWN, *_parts()])
