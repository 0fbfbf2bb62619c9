"""Run the numbered notebooks top to bottom with papermill, and bring executed ones into the form that is committed."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.atomic import replacing

if TYPE_CHECKING:  # its schema checker takes seconds to import, which `kit --help` need not wait for
    from nbformat import NotebookNode

    from kit.competition.competition import Competition

FOLDER = Path(__file__).parents[1] / "notebooks"
SOUNDS = ("hw4", "table", "speech_commands")  # one label a sound
# The subjects that a notebook is about, where those are not SOUNDS.
SUBJECTS = {"06": ("rfcx",), "07": ("table", "speech_commands"), "08": ("images",), "09": ("birdclef",)}
DEMO = ("01", "02", "03", "04", "05")  # the demo without more words: the rest have demos of their own
STUDIES = ("04",)  # as long as a competition's whole day: run on a folder where asked for by number
KERNEL = "python3"
QUIET = ["--IPKernelApp.log_level=CRITICAL"]  # else it warns of its loopback socket, and logs its own shutdown


class NotebookError(RuntimeError):
    """A notebook that stopped; the message names it, its cell and the error."""


def numbered(only: Sequence[str] = ()) -> list[Path]:
    """The notebooks in order, or those whose number is in `only`. Raises ValueError for a number that is not there."""
    known = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    if not known:
        raise ValueError("the notebooks are not there: they come with the repository, not with the package")
    numbers = [path.name[:2] for path in known]
    for number in only:
        if number not in numbers:
            raise ValueError(f"only must be among {', '.join(numbers)}, got {number}")
    return [path for path in known if not only or path.name[:2] in only]


def subject_of(competition: "Competition") -> str:
    """What a notebook must be about for this folder: its layout, or "several labels" of a table of such."""
    several = competition.task == "multi" and competition.layout in SOUNDS
    return "several labels" if several else competition.layout


def suits(path: Path, subject: str) -> bool:
    """Is the notebook about a folder of this subject?"""
    return subject in SUBJECTS.get(path.name[:2], SOUNDS)


def run_notebooks(
    paths: Sequence[Path],
    parameters: dict,
    out: Path,
    *,
    subject: str = "hw4",
    work: Path | None = None,
    in_place: bool = False,
    done: Callable[[Path, float], None] = lambda copy, seconds: None,
) -> None:
    """Execute each notebook with the parameters, print a line for each, and keep the executed copies in `out`.

    `subject` is that of the folder that parameters name; a notebook that it does not suit gets an empty one, for which
    it takes a demo of its own. `work` is the folder that a notebook runs in. in_place=True also writes the copy,
    normalised, over the original. `done` is called with each executed copy and the seconds that it took.
    Raises NotebookError at the first that fails; its copy in `out` shows how far it came.
    """
    import nbformat  # here, for both take seconds, and Kaggle's kernels may not have papermill
    import papermill

    kernel = kernel_told()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")]))
    for number, path in enumerate(paths, start=1):
        started, copy, bars = time.monotonic(), out / path.name, _Bars()
        heading = f"[{number}/{len(paths)}] {path.stem}"
        print(f"{heading} …", flush=True)
        try:
            papermill.execute_notebook(
                path,
                copy,
                parameters if suits(path, subject) else {**parameters, "data": ""},
                cwd=work,
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                stderr_file=bars,
                extra_arguments=QUIET,
            )
            bars.end()
        except RuntimeError as error:  # of a kernel that ends before it answers
            bars.end()
            print(f"{heading}  failed", flush=True)
            raise NotebookError(f"{path.name}: {kernel} ended before it ran a cell: {_plain(str(error))}") from None
        except papermill.PapermillExecutionError as error:
            bars.end()
            print(f"{heading}  failed", flush=True)
            raise NotebookError(
                f"{path.name}, cell {error.cell_index + 1}: {error.ename}: {_plain(error.evalue)}\n"
                f"  how far it came: {copy}"
            ) from None
        seconds = time.monotonic() - started
        print(f"{heading}  {seconds:.1f} s  ok", flush=True)
        if in_place:
            write_normalised(nbformat.read(copy, as_version=4), path)
        done(copy, seconds)


def kernel_told() -> str:
    """The notebooks' kernel in words: which Python it is, where another than this one is taken it is printed.

    Jupyter takes the first kernel of this name that it finds, in the environment or the user's home; "python" alone it
    takes for this one. Raises NotebookError where its Python is not there.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    program = sys.executable if re.fullmatch(r"python[\d.]*", spec.argv[0]) else shutil.which(spec.argv[0])
    kernel = f"the notebooks' kernel {KERNEL!r}, {spec.resource_dir}, whose Python is {spec.argv[0]},"
    if program is None:
        raise NotebookError(
            f"{kernel} can't be started: there is no such file; JUPYTER_PREFER_ENV_PATH=1 takes this environment's own "
            f"kernel, or remove that one: jupyter kernelspec remove {KERNEL}"
        )
    if Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        print(f"{kernel} is another than {sys.executable}")
    return kernel


def write_normalised(notebook: "NotebookNode", path: Path) -> None:
    """The notebook as it is committed, written beside and renamed."""
    import nbformat

    with replacing(path) as beside:
        nbformat.write(normalise(notebook), beside)


def normalise(notebook: "NotebookNode") -> "NotebookNode":
    """A copy without what changes from run to run: timings, widgets, stderr, ids; the parameters as they were."""
    import nbformat

    fresh = nbformat.from_dict(notebook)
    fresh.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
         "language_info": {"name": "python"}}
    )  # fmt: skip
    fresh.nbformat, fresh.nbformat_minor = 4, 5
    fresh.cells = [cell for cell in fresh.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for place, cell in enumerate(fresh.cells):
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = f"cell-{place:02d}"
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = [_normalised_output(output, count) for output in cell.outputs if _is_shown(output)]
    return fresh


def _is_shown(output) -> bool:
    widget = "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    return output.get("name") != "stderr" and not widget


def _normalised_output(output, count: int):
    output.get("metadata", {}).clear()
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class _Bars:
    """Lets a kernel's progress bars through to the terminal, and nothing else of its stderr."""

    shown = False

    def write(self, text: str) -> None:
        if "\r" in text:
            self.shown = True
            sys.stderr.write(text)
            sys.stderr.flush()

    def flush(self) -> None:
        sys.stderr.flush()

    def end(self) -> None:
        if self.shown:
            print(file=sys.stderr, flush=True)
