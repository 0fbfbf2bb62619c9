"""At home: the files that are sent along with a kernel, gathered in one flat folder with the list of their sha256.

Of a run what a prediction needs: its experiment and sources, and of each fold the weights and what they say of
themselves; nothing of the training's state.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from kit.atomic import replacing
from kit.kaggle.attached import LIST, WHEELS, flat_name
from kit.kaggle.secrets import refuse_secrets

OF_A_FOLD = ("best.pt", "metrics.json", "so_far.json", "env.json")  # so_far.json of one that is unfinished
EXPORTED = {"torch": (), "onnx": (".onnx",), "openvino": (".xml", ".bin")}  # of a fold, in exported/, by engine
TEXTS = (".py", ".json")  # of any size
TEXT_BYTES = 1_000_000  # below which any file that is UTF-8 is looked through as a text
# What a former push left in its folder: files by flat_name, and what a kill left of one; what Kaggle's client is told.
OURS = re.compile(r"[0-9a-f]{12}-[A-Za-z0-9._-]+|\..+\.part|(dataset|model|model-instance)-metadata\.json")
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
    """A file, or all of a folder that are not hidden, by their paths in it."""
    if path.is_file():
        return {path.name: path}
    files = {file.relative_to(path).as_posix(): file for file in _below(path)}
    if not files:
        raise FileNotFoundError(f"{path}: weights must be a file, or a folder with files, got neither")
    return files


def files_of_wheels(folder: Path) -> dict[str, Path]:
    """The wheels of a folder. Raises ValueError where there are none."""
    if not (wheels := sorted(folder.glob("*.whl"))):
        raise ValueError(f"{folder}: must hold wheels to send, got no .whl")
    return {f"{WHEELS}/{path.name}": path for path in wheels}


def gather(files: dict[str, Path], folder: Path) -> str:
    """Copy the files to the folder, in the place of those of a former push; the sha256 of their list.

    Raises SecretError naming a text that holds one, ValueError where the folder holds files of another kind, which
    would be sent along.
    """
    for path, text in _texts(files.values()):
        refuse_secrets({str(path): text}, folders=path.suffix != ".json")
    digests = {name: _sha256(path) for name, path in files.items()}
    flat = {flat_name(name, digests[name]): path for name, path in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    _empty(folder, but=flat.keys() | {LIST})
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
    files = [run / "experiment.json", run / "metrics.json", *_below(run / "sources")]
    if mixed and "threshold" in _json(run / "metrics.json") and (run / "oof.parquet").is_file():
        files.append(run / "oof.parquet")  # a mixture's own threshold is chosen on the mixed rows
    for fold in range(asked) if folds is None else folds:
        files += _of_fold(run / f"fold{fold}", folds is None)
        for path in (run / "exported" / f"fold{fold}{suffix}" for suffix in EXPORTED[engine]):
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file; python -m kit export {run} --to {engine} writes it")
            files.append(path)
    return files


def _of_post(run: Path) -> list[Path]:
    for name in (POST, "oof.parquet"):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name}: no such file; kit.save_post writes post.json beside oof.parquet")
    return [run / POST, run / "oof.parquet"]


def _of_fold(folder: Path, some_would_do: bool) -> list[Path]:
    if not (folder / "best.pt").is_file():
        some = "; --folds 0,1 sends some of them" if some_would_do else ""
        raise FileNotFoundError(f"{folder}: must be a trained fold, has no best.pt{some}")
    files = [folder / name for name in OF_A_FOLD if (folder / name).is_file()]
    facts = [_json(path) for path in files[1:] if path.name != "env.json"]
    if not any("priors" in fact for fact in facts):  # of an older version, which take them from the run's own table
        files.append(folder.parent / "oof.parquet")
    return files


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: must be JSON, got {error}") from None


def _below(folder: Path) -> Iterable[Path]:
    """The files of a folder, hidden ones and caches left out, and what lies in such folders."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield path


def _texts(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The files that are texts, by their name or by what they hold."""
    for path in paths:
        if path.suffix in TEXTS:
            yield path, path.read_text("utf-8", "replace")
        elif path.stat().st_size < TEXT_BYTES:
            with suppress(UnicodeDecodeError):
                yield path, path.read_bytes().decode("utf-8")


def _empty(folder: Path, but: Collection[str]) -> None:
    """Delete what a former push left. Folders stay: Kaggle's client does not send them."""
    strays = [path for path in sorted(folder.iterdir()) if path.name not in but and not path.is_dir()]
    if others := [path.name for path in strays if not OURS.fullmatch(path.name)]:
        raise ValueError(f"{folder}: must hold files of a former push alone, for all of it is sent, got {others[0]}")
    for path in strays:
        path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
