"""A notebook as a kernel: with the kit inside, its parameters written in, and metadata that leave nothing open."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import nbformat

from kit.atomic import replacing
from kit.kaggle.bundle import Bundle, make_bundle, own_modules
from kit.kaggle.secrets import refuse_secrets
from kit.notebooks import normalise

TITLE_CHARACTERS = (5, 50)  # what Kaggle takes
T4 = "NvidiaTeslaT4"  # the only GPU that Kaggle still gives; without a shape an older default may be taken
SLUG = re.compile(r"[\w-]+")
SOURCE = re.compile(r"[\w-]+/[\w-]+(/[0-9]+)?")
MODEL = re.compile(r"[\w-]+/[\w-]+/[\w-]+/[\w.-]+/[0-9]+")
NOTEBOOK, METADATA = "notebook.ipynb", "kernel-metadata.json"
WRITES = re.compile(r"%%(?:writefile|file)\s+(\S+)")  # the kernel writes that file itself
PROLOGUE = "from kit.kaggle.inputs import find_data\nfrom kit.kaggle.place import say_where"
END = "from kit.kaggle.place import hand_in\n\nhand_in()"


@dataclass(frozen=True)
class Sent:
    """Weights that were sent along: the sha256 of their list, and what a kernel names them by."""

    sha256: str
    source: str


@dataclass(frozen=True)
class Kernel:
    """What a push needs to know. `owner` is the Kaggle account, `datasets` and `kernels` are "owner/slug".

    models are "owner/model/framework/variation/version"; weights are attached as well.
    """

    owner: str
    title: str
    competition: str
    datasets: Sequence[str] = ()
    kernels: Sequence[str] = ()
    gpu: bool = False
    models: Sequence[str] = ()
    weights: Sent | None = None

    def __post_init__(self):
        shortest, longest = TITLE_CHARACTERS
        if not shortest <= len(self.title) <= longest or len(self.slug) < shortest:
            raise ValueError(f"title must have {shortest} to {longest} letters and digits, got {self.title!r}")
        for name, value in (("owner", self.owner), ("competition", self.competition)):
            if not SLUG.fullmatch(value):
                raise ValueError(f"{name} must be a name as in Kaggle's addresses, got {value!r}")
        for name, values in (("dataset", self.datasets), ("kernel", self.kernels)):
            for value in values:
                if not SOURCE.fullmatch(value):
                    raise ValueError(f"{name} must be owner/name as in Kaggle's addresses, got {value!r}")
        for value in self.models:
            if not MODEL.fullmatch(value):
                raise ValueError(
                    f"model must be owner/model/framework/variation/version, the last a whole number, got {value!r}"
                )

    @property
    def slug(self) -> str:
        """As Kaggle makes it of the title; another one would be named anew."""
        return re.sub("[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.slug}"

    def metadata(self) -> dict:
        """kernel-metadata.json, every field written: the client's own defaults turn the internet on."""
        sent = [self.weights.source] if self.weights else []
        return {
            "id": self.ref,
            "title": self.title,
            "code_file": NOTEBOOK,
            "language": "python",
            "kernel_type": "notebook",
            "is_private": True,
            "enable_gpu": self.gpu,
            "enable_tpu": False,
            "enable_internet": False,
            "machine_shape": T4 if self.gpu else "",
            "dataset_sources": [*self.datasets, *(source for source in sent if not MODEL.fullmatch(source))],
            "competition_sources": [self.competition],
            "kernel_sources": list(self.kernels),
            "model_sources": [*self.models, *(source for source in sent if MODEL.fullmatch(source))],
            "keywords": [],
            "docker_image_pinning_type": "latest",
        }


def default_title(notebook: Path, competition: str) -> str:
    return f"{notebook.stem.replace('_', ' ')} {competition}"[: TITLE_CHARACTERS[1]].strip()


def write_kernel(notebook: Path, kernel: Kernel, values: Mapping[str, str], folder: Path, end: str = END) -> Bundle:
    """The folder that a push sends: the notebook and its metadata. Nothing is written before all checks have passed.

    values are texts for names of the notebook's parameters cell; `data`, and `weights` where some were sent along, are
    found by their files unless given. Modules beside the notebook that its cells import go along. end is a last cell.
    Raises ValueError, SecretError naming the cell.
    """
    source = normalise(nbformat.read(notebook, as_version=4))
    _bake(source, notebook, kernel, values)
    first = _prologue(kernel)
    code = f"{_python_of(source, notebook)}\n{first}\n{end}"
    own = own_modules(code, notebook.absolute().parent)
    written = {match[1] for cell in source.cells if (match := WRITES.match(cell.source))}
    bundle = make_bundle(code=code, own={name: own[name] for name in own if name not in written})
    texts = {f"{notebook}, cell {number}": cell.source for number, cell in enumerate(source.cells, start=1)}
    carried = {name: content.decode("utf-8") for name, content in bundle.files.items()}
    refuse_secrets({"the metadata": json.dumps(kernel.metadata()), **texts, **carried})
    source.cells.insert(0, nbformat.v4.new_code_cell(f"{bundle.cell}\n\n{first}"))
    source.cells += [nbformat.v4.new_code_cell(end)] * bool(end)
    for number, cell in enumerate(source.cells):
        cell.id = f"cell-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / NOTEBOOK) as beside:
        nbformat.write(source, beside)
    with replacing(folder / METADATA) as beside:
        beside.write_text(json.dumps(kernel.metadata(), indent=1) + "\n", encoding="utf-8")
    return bundle


def _prologue(kernel: Kernel) -> str:
    """What the first cell does once the kit is at hand."""
    lines = ["from kit.kaggle.attached import find_weights"] * (kernel.weights is not None)
    lines += ["from kit.kaggle.former_runs import bring_runs"] * bool(kernel.kernels)
    lines += [PROLOGUE, "", f"say_where(gpu={kernel.gpu})"]
    return "\n".join(lines + [f"bring_runs({', '.join(map(repr, kernel.kernels))})"] * bool(kernel.kernels))


def _python_of(notebook, path: Path) -> str:
    """The code of all cells as Python, IPython's magics as calls. Raises ValueError naming the cell that is none."""
    from IPython.core.inputtransformer2 import TransformerManager

    texts = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        text = TransformerManager().transform_cell(cell.source)
        _parsed(text, f"{path}, cell {number}")
        texts.append(text)
    return "\n".join(texts)


def _parsed(text: str, where: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"{where}, line {error.lineno}: must be Python, got {error.msg}") from None


def _bake(notebook, path: Path, kernel: Kernel, values: Mapping[str, str]) -> None:
    """Write the values over those of the parameters cell."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{path}: must have one cell tagged parameters, got {len(cells)}")
    assigned = _assigned(cells[0].source, f"{path}, cell {1 + notebook.cells.index(cells[0])}")
    if unknown := [name for name in values if name not in assigned]:
        raise ValueError(f"{path}: a parameter must be one of {', '.join(assigned)}, got {unknown[0]!r}")
    slugs = ", ".join(repr(slug) for slug in (kernel.competition, *kernel.datasets))
    texts = {"data": f"find_data({slugs})"} if "data" in assigned else {}
    if kernel.weights:
        if "weights" not in assigned:
            raise ValueError(f"{path}: must have a parameter weights, which is told where they lie in the kernel")
        texts["weights"] = f"find_weights{astuple(kernel.weights)}"
    texts |= {name: _literal(name, value, ast.literal_eval(assigned[name])) for name, value in values.items()}
    lines = cells[0].source.encode("utf-8").split(b"\n")  # ast counts bytes
    for name, text in texts.items():
        value, line = assigned[name], lines[assigned[name].lineno - 1]
        lines[value.lineno - 1] = line[: value.col_offset] + text.encode("utf-8") + line[value.end_col_offset :]
    cells[0].source = b"\n".join(lines).decode("utf-8")


def _assigned(source: str, where: str) -> dict[str, ast.expr]:
    """The values of a cell that says `name = value`, one a line; imports and magics in it stay as they are."""
    lines = ["pass" if line.startswith(("%", "!")) else line for line in source.split("\n")]
    values = {}
    for node in _parsed("\n".join(lines), where).body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        plain = isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None
        if not plain or node.lineno != node.end_lineno:
            raise ValueError(f"{where}: the parameters cell must hold lines of name = value, got {ast.unparse(node)!r}")
        values[target.id] = node.value
    return values


def _literal(name: str, text: str, default: object) -> str:
    """The text as a Python value of the default's type, as Python writes it."""
    if isinstance(default, str):
        return repr(text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if type(value) is not type(default):
        raise ValueError(f"{name} must be {type(default).__name__}, as {default!r} is, got {text!r}")
    return repr(value)
