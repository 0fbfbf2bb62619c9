"""Weights that a kernel is pushed with: gathered, sent where they are not there yet, and named for the kernel."""

import json
from pathlib import Path

from kit.atomic import replacing
from kit.kaggle.client import Kaggle
from kit.kaggle.kernel import Sent
from kit.kaggle.uploads import MODEL_PLACE, check_name, send_folder, still_there
from kit.kaggle.weights import gather


def send_weights(kaggle: Kaggle | None, kind: str, files: dict[str, Path], folder: Path, ref: str) -> Sent:
    """Send files by their paths as `ref`, owner/name, a dataset or model; folder holds them on the way.

    What was sent from here before, with the same content, and is still there, is not sent again. kaggle None sends
    nothing, as in a dry run.
    """
    check_name(ref)
    sha256, record = gather(files, folder), folder.with_name(f"{folder.name}-{kind}.json")
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if kaggle is None:
        print(f"not sent: {len(files)} files, {size / 1e6:.1f} MB in {folder}")
        return Sent(sha256, ref if kind == "dataset" else f"{ref}/{MODEL_PLACE}/1")
    if record.exists():
        before = Sent(**json.loads(record.read_text(encoding="utf-8")))
        if before.sha256 == sha256 and f"{before.source}/".startswith(f"{ref}/") and still_there(kaggle, before.source):
            print(f"weights: {before.source} holds them already, sha256 {sha256}")
            return before
    sent = Sent(sha256, send_folder(kaggle, kind, folder, ref, f"sha256 of sha256.json: {sha256}"))
    with replacing(record) as beside:
        beside.write_text(json.dumps(vars(sent)) + "\n", encoding="utf-8")
    print(f"weights: sent {len(files)} files, {size / 1e6:.1f} MB, as {sent.source}, sha256 {sha256}")
    return sent
