"""What a run was made with: an allow-list of versions and hardware, never the environment, which holds secrets."""

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

import kit

LIBRARIES = ("torchaudio", "timm", "accelerate", "numpy", "pandas", "scikit-learn")


def environment() -> dict:
    """Versions, hardware, and the hash of the kit's own code."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "gpus": torch.cuda.device_count(),
        "kit_sha256": _kit_sha256(),
        "torch": torch.__version__,
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _kit_sha256() -> str:
    root, digest = Path(kit.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
