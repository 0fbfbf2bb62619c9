"""A folder of weights to Kaggle, private, as a dataset or as a model: created, or given a new version, and waited for.

Kaggle takes a folder's files and not its folders, and makes a version of them in its own time: a kernel that is pushed
before that is given the old one.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from kit.atomic import replacing
from kit.kaggle.client import Kaggle, KaggleError, KaggleFailure

LETTERS = (6, 50)  # of a dataset's name, which Kaggle takes
FRAMEWORK, VARIATION = "pyTorch", "default"
MODEL_PLACE = f"{FRAMEWORK}/{VARIATION}"  # of the one variation that holds all
LICENSE = {"dataset": "other", "model": "CC BY-NC-SA 4.0"}  # each must have one, though nobody else sees it
POLL_SECONDS = 10.0
WAIT_SECONDS = 1800.0
ABSENT = (403, 404)  # what Kaggle answers of a private thing that is not there


def send_folder(kaggle: Kaggle, kind: str, folder: Path, ref: str, notes: str) -> str:
    """What a kernel is to name: owner/name of a dataset, owner/model/framework/variation/version of a model.

    ref is owner/name. Raises KaggleError where it is refused, KaggleFailure where Kaggle takes it and fails on it.
    """
    check_name(ref)
    return {"dataset": _send_dataset, "model": _send_model}[kind](kaggle, folder, ref, notes)


def still_there(kaggle: Kaggle, source: str) -> bool:
    """Is what send_folder gave still at Kaggle and ready?"""
    if source.count("/") == 1:
        return _dataset_status(kaggle, source) == "ready"
    return _model_version(kaggle, source.rpartition("/")[0]) >= int(source.rpartition("/")[2])


def name_of_weights(text: str) -> str:
    """A name that Kaggle takes, of a file's or a kernel's."""
    return f"{re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')[: LETTERS[1] - 8].strip('-')}-weights"


def check_name(ref: str) -> None:
    """Raises ValueError where Kaggle would not take it as a dataset's and a model's name."""
    owner, _, name = ref.partition("/")
    if not (re.fullmatch(r"[\w-]+", owner) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)):
        raise ValueError(f"weights must be named owner/name of lower-case letters, digits and hyphens, got {ref!r}")
    if not LETTERS[0] <= len(name) <= LETTERS[1]:
        raise ValueError(f"the name of weights must have {LETTERS[0]} to {LETTERS[1]} letters, got {name!r}")


def _send_dataset(kaggle: Kaggle, folder: Path, ref: str, notes: str) -> str:
    api, name, task = kaggle.api, ref.partition("/")[2], f"dataset {ref}"
    facts = {"id": ref, "title": name, "licenses": [{"name": LICENSE["dataset"]}]}
    _write(folder / api.DATASET_METADATA_FILE, facts)
    if _dataset_status(kaggle, ref) is None:
        answer = kaggle.call(api.dataset_create_new, str(folder), False, True, task=task)
    else:
        answer = kaggle.call(api.dataset_create_version, str(folder), notes, True, task=task)
    if answer.error or (answer.status or "").lower() != "ok":
        raise KaggleError(f"{task}: {answer.error or f'the answer is {answer.status!r}'}")

    def ready() -> bool:
        status = _dataset_status(kaggle, ref)
        if status in ("failed", "deleted"):
            raise KaggleFailure(f"{task}: Kaggle took the files, and then: {status}")
        return status == "ready"

    _wait(ready, task)
    return ref


def _dataset_status(kaggle: Kaggle, ref: str) -> str | None:
    return _or_absent(lambda: kaggle.call(kaggle.api.dataset_status, ref, task=f"dataset {ref}"), None)


def _send_model(kaggle: Kaggle, folder: Path, ref: str, notes: str) -> str:
    """A model has variations, a framework each, and these have versions; here one variation holds all."""
    api, task, (owner, _, name) = kaggle.api, f"model {ref}", ref.partition("/")
    variation = f"{ref}/{MODEL_PLACE}"
    if _or_absent(lambda: kaggle.call(api.model_get, ref, task=task), None) is None:
        facts = {"ownerSlug": owner, "slug": name, "title": name, "isPrivate": True, "description": notes}
        _write(folder / api.MODEL_METADATA_FILE, facts)
        _taken(kaggle.call(api.model_create_new, str(folder), task=task), task)
    before = _model_version(kaggle, variation)
    if before == 0:
        facts = {"ownerSlug": owner, "modelSlug": name, "instanceSlug": VARIATION, "framework": FRAMEWORK}
        _write(folder / api.MODEL_INSTANCE_METADATA_FILE, facts | {"licenseName": LICENSE["model"], "overview": notes})
        _taken(kaggle.call(api.model_instance_create, str(folder), True, task=task), task)
    else:
        _taken(kaggle.call(api.model_instance_version_create, variation, str(folder), notes, True, task=task), task)
    _wait(lambda: _model_version(kaggle, variation) > before, task)
    return f"{variation}/{_model_version(kaggle, variation)}"


def _model_version(kaggle: Kaggle, variation: str) -> int:
    """The newest version's number; 0 where there is none."""
    get = kaggle.api.model_instance_get
    newest = _or_absent(lambda: kaggle.call(get, variation, task=f"model {variation}"), None)
    return newest.version_number if newest else 0


def _taken(answer, task: str) -> None:
    if answer.error:
        raise KaggleError(f"{task}: {answer.error}")


def _or_absent(ask: Callable, absent):
    try:
        return ask()
    except KaggleError as error:
        if error.code not in ABSENT:
            raise
        return absent


def _wait(ready: Callable[[], bool], task: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not ready():
        if time.monotonic() + POLL_SECONDS > end:
            minutes = WAIT_SECONDS / 60
            raise KaggleError(
                f"{task}: is not ready after {minutes:g} minutes; the same command looks again", passing=True
            )
        time.sleep(POLL_SECONDS)


def _write(path: Path, facts: dict) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
