"""Where a timm net's weights lie, in timm's hub, in a folder of many or in one file, and the tensors in it, as data.

Kaggle mounts datasets and models some five folders deep below /kaggle/input, and has changed how: folders are searched.
"""

import hashlib
import os
import pickle
import re
import urllib.error
import urllib.request
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

SUFFIXES = (".safetensors", ".pth", ".bin", ".pt")  # in order of preference where one folder holds several forms
NAMELESS = ("model", "pytorch_model", "weights", "checkpoint", "model_best")  # such a file is named by its folder
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # timm's own order
HOW_TO_ATTACH = (
    "attach the file and give its path as weights, or the folder to search for it "
    "(on Kaggle a dataset or a model as input, and /kaggle/input)"
)


def locate_weights(weights: str, timm_name: str) -> Path:
    """The file that `weights` means: "timm" for its hub, a folder to search, or a file.

    Raises ValueError in one line where there is none, or no one.
    """
    if weights == "timm":
        return hub_file(timm_name)
    path = Path(weights)
    if path.is_dir():
        return find_weights(path, timm_name)
    if not path.is_file():
        raise ValueError(f'weights must be "", "timm", a file or a folder that exists, got {weights!r}')
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"weights must be a file of {', '.join(SUFFIXES)}, got {weights!r}")
    return path


def find_weights(folder: Path, timm_name: str) -> Path:
    """The one weight file below the folder that is named for the net.

    A file is named for a net where its name, or for a file called model, pytorch_model … the nearest folder's name with
    a timm net in it, starts with the net's, whatever follows: tf_efficientnet_b0_ns-c0e6a31c.pth, but not resnet18d.pth
    for resnet18. Where timm_name has a tag and some files have it too, only those count. Raises ValueError where no
    file is left, or several.
    """
    files = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    files = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
    architecture, _, tag = timm_name.partition(".")
    known = {_plain(name) for name in timm.list_models()}
    named = [file for file in files if _architecture_of(file, folder, known) == _plain(architecture)]
    if tag:
        named = [file for file in named if _plain(timm_name) in _plain(str(file.relative_to(folder.parent)))] or named
    named = _one_form_each(named)
    if len(named) == 1:
        return named[0]
    listed, where = named or files, repr(str(folder))
    names = ", ".join(str(file.relative_to(folder)) for file in listed[:5]) + (", …" if len(listed) > 5 else "")
    if named:
        raise ValueError(
            f"weights must be a folder with one file named for {timm_name}, got {where} with {len(named)}: {names}"
        )
    raise ValueError(
        f"weights must be a folder with a file named for {timm_name} ({timm_name}*.safetensors, .pth, .bin, "
        f"or model.safetensors in a folder of that name), got {where} with {names or 'no weight file'}"
    )


def hub_file(timm_name: str) -> Path:
    """timm's own weights of that net: from the hub's local cache, else downloaded.

    Raises ValueError where timm has none, or they are not in the cache and the hub can't be reached.
    """
    cfg = timm.get_pretrained_cfg(timm_name)
    if cfg is None or not cfg.has_weights:
        tags = ", ".join(timm.list_models(f"{timm_name.partition('.')[0]}.*", pretrained=True)) or "none of this name"
        raise ValueError(f"weights must be of a net that timm has weights for ({tags}), got {timm_name!r}")
    if cfg.hf_hub_id:
        return _from_hugging_face(cfg.hf_hub_id, cfg.hf_hub_filename, timm_name)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(cfg.url).name
    if not cached.is_file():
        _check_reachable(cfg.url, timm_name)
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(cfg.url, str(cached), progress=False)
    return cached


def _from_hugging_face(repository: str, filename: str | None, timm_name: str) -> Path:
    import huggingface_hub as hub  # takes a second, and only this needs it

    repository, _, revision = repository.partition("@")
    names = [filename] if filename else ["model.safetensors", "pytorch_model.bin"]
    for name in names:
        cached = hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    if hub.constants.HF_HUB_OFFLINE:
        raise ValueError(_not_cached(timm_name, "HF_HUB_OFFLINE is set"))
    _check_reachable(hub.constants.ENDPOINT, timm_name)  # the client itself would try for most of a minute
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision or None))
        except hub.errors.EntryNotFoundError:
            continue
    raise ValueError(f"weights must be in timm's repository {repository} as {' or '.join(names)}, got neither")


def _check_reachable(url: str, timm_name: str) -> None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10):
            pass
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise ValueError(_not_cached(timm_name, getattr(error, "reason", error))) from None


def _not_cached(timm_name: str, reason) -> str:
    return (
        f'weights must be at hand where the internet is not, got "timm" for {timm_name}, which is not in the local '
        f"cache ({reason}): {HOW_TO_ATTACH}"
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The file's tensors by name, out of the wrappers state_dict, model, and their EMA forms first.

    Raises ValueError where the file is damaged, holds Python objects, or no tensors.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            saved = load_file(path)
        else:
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"weights must be a file of tensors alone, got {str(path)!r}, which holds Python objects: where you trust "
            "it, load it once by torch.load(..., weights_only=False) and save its state_dict"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(f"weights must be a whole file of tensors, got {str(path)!r}: {first_line}") from None
    while isinstance(saved, dict) and (inner := [saved[key] for key in WRAPPERS if isinstance(saved.get(key), dict)]):
        saved = inner[0]
    named = saved.items() if isinstance(saved, dict) else ()
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"weights must be a file of named tensors, got {str(path)!r} with none")
    return tensors


def sha256(path: Path) -> str:
    """The file's digest, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[-. ]", "_", name.lower())


def _architecture_of(file: Path, folder: Path, known: set[str]) -> str | None:
    """The timm net that the file, or its nearest folder up to `folder`, is named for; the longest name that fits."""
    names = [file.stem, *(parent.name for parent in file.parents if parent == folder or folder in parent.parents)]
    if _plain(file.stem) not in NAMELESS:
        names = names[:1]
    for name in names:
        words = re.sub(r"^models_+[^_]+_+", "", _plain(name)).split("_")  # a hub's cache: models--timm--NAME
        for n_words in range(len(words), 0, -1):
            if "_".join(words[:n_words]) in known:
                return "_".join(words[:n_words])
    return None


def _one_form_each(files: list[Path]) -> list[Path]:
    """Of files that lie in one folder and differ in form only, the first by SUFFIXES."""
    best: dict[Path, Path] = {}
    for file in files:
        key = file.parent if _plain(file.stem) in NAMELESS else file.with_suffix("")
        if key not in best or SUFFIXES.index(file.suffix.lower()) < SUFFIXES.index(best[key].suffix.lower()):
            best[key] = file
    return list(best.values())
