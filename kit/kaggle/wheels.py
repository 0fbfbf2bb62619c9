"""Wheels for an image that has no network: of one package, for each Python that Kaggle's image may have."""

import subprocess
import sys
from pathlib import Path

PYTHONS = ("3.12", "3.13")  # the image's, and the next one's
PLATFORMS = tuple(f"manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_27", "_2_28", "_2_34"))


def download(package: str, folder: Path) -> Path:
    """The folder, with the package's wheel for each of PYTHONS, and nothing that it needs, which the image has.

    Raises RuntimeError where pip finds none.
    """
    for python in PYTHONS:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", python, *(f"--platform={name}" for name in PLATFORMS), "--dest", str(folder)]
        done = subprocess.run([*command, package], capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["pip does not say why"])[-1]
            raise RuntimeError(f"wheels: pip found none of {package} for Python {python}: {why}")
    return folder
