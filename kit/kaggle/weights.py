"""At home: the files that are sent along with a kernel, gathered in one flat folder with the list of their sha256.

Of a run what a prediction needs: its experiment and sources, and of each fold the weights and what they say of
themselves; nothing of the training's state.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.atomic import replacing
from kit.kaggle.attached import LIST, WHEELS, flat_name
from kit.kaggle.secrets import refuse_secrets

OF_A_FOLD = ("best.pt", "metrics.json", "so_far.json", "env.json")  # so_far.json of one that is unfinished
EXPORTED = {"torch": (), "onnx": (".onnx",), "openvino": (".xml", ".bin")}  # of a fold, in exported/, by engine
TEXTS = (".py", ".json")
POST = "post.json"  # as kit.results.post_file writes it


def files_of_runs(
    runs: Sequence[Path], folds: Sequence[int] | None = None, engine: str = "torch", post: bool = False
) -> dict[str, Path]:
    """Each file by the path that it has in the kernel, `runs/<number>/<run>/…`; folds None takes all of each run's.

    With another engine than "torch" the exported files go along; with `post` the first run's post.json and the
    out-of-fold rows that it is fitted on.
    Raises FileNotFoundError or ValueError naming the run and what it lacks.
    """
    files = {}
    for number, run in enumerate(runs):
        posted = _of_post(Path(run)) if post and number == 0 else []
        for path in [*_of_run(Path(run), folds, engine, mixed=len(runs) > 1), *posted]:
            files[f"runs/{number:02d}/{Path(run).resolve().name}/{path.relative_to(run).as_posix()}"] = path
    return files


def files_of_weights(path: Path) -> dict[str, Path]:
    """A file, or all of a folder, by their paths in it."""
    if path.is_file():
        return {path.name: path}
    files = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    if not files:
        raise FileNotFoundError(f"{path}: weights must be a file, or a folder with files, got neither")
    return files


def files_of_wheels(folder: Path) -> dict[str, Path]:
    """The wheels of a folder. Raises ValueError where there are none."""
    if not (wheels := sorted(folder.glob("*.whl"))):
        raise ValueError(f"{folder}: must hold wheels to send, got no .whl")
    return {f"{WHEELS}/{path.name}": path for path in wheels}


def gather(files: dict[str, Path], folder: Path) -> str:
    """Copy the files to the folder, in the place of what was there; the sha256 of their list.

    Raises SecretError naming a text that holds one.
    """
    texts = {str(path): path.read_text("utf-8", "replace") for path in files.values() if path.suffix in TEXTS}
    refuse_secrets({name: text for name, text in texts.items() if name.endswith(".py")})
    refuse_secrets({name: text for name, text in texts.items() if name.endswith(".json")}, folders=False)
    digests = {name: _sha256(path) for name, path in files.items()}
    flat = {flat_name(name, digests[name]): path for name, path in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for stray in {path.name for path in folder.iterdir()} - flat.keys():
        (folder / stray).unlink()
    for name, path in flat.items():
        with replacing(folder / name) as beside:
            shutil.copyfile(path, beside)
    content = json.dumps(digests, indent=1) + "\n"
    with replacing(folder / LIST) as beside:
        beside.write_text(content, encoding="utf-8")
    return hashlib.sha256(content.encode()).hexdigest()


def _of_run(run: Path, folds: Sequence[int] | None, engine: str, mixed: bool) -> list[Path]:
    for name in ("experiment.json", "metrics.json"):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run}: must be the folder of a run, has no {name}")
    asked = _json(run / "experiment.json")["folds"]["n"]
    found = [run / "experiment.json", run / "metrics.json", *_below(run / "sources")]
    if mixed and "threshold" in _json(run / "metrics.json") and (run / "oof.parquet").is_file():
        found.append(run / "oof.parquet")  # a mixture's own threshold is chosen on the mixed rows
    for fold in range(asked) if folds is None else folds:
        found += _of_fold(run / f"fold{fold}", folds is None)
        for path in (run / "exported" / f"fold{fold}{suffix}" for suffix in EXPORTED[engine]):
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file; python -m kit export {run} --to {engine} writes it")
            found.append(path)
    return found


def _of_post(run: Path) -> list[Path]:
    for name in (POST, "oof.parquet"):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name}: no such file; kit.save_post writes post.json beside oof.parquet")
    return [run / POST, run / "oof.parquet"]


def _of_fold(folder: Path, some_would_do: bool) -> list[Path]:
    if not (folder / "best.pt").is_file():
        some = "; --folds 0,1 sends some of them" if some_would_do else ""
        raise FileNotFoundError(f"{folder}: must be a trained fold, has no best.pt{some}")
    found = [folder / name for name in OF_A_FOLD if (folder / name).is_file()]
    facts = [_json(path) for path in found[1:] if path.name != "env.json"]
    if not any("priors" in fact for fact in facts):  # of an older version, which take them from the run's own table
        found.append(folder.parent / "oof.parquet")
    return found


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: must be JSON, got {error}") from None


def _below(folder: Path) -> Iterable[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
