"""The notebook that only predicts: its cells, as they go with the weights of finished runs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat

from kit.kaggle.bundle import Bundle
from kit.kaggle.kernel import Kernel, write_kernel
from kit.parts import above, one_of, part

ENGINES = {"torch": "", "onnx": "onnxruntime", "openvino": "openvino"}  # and the package that each needs
ABOUT = """# Prediction alone

Nothing is trained here. The weights of {runs} are attached as {source}, each file held to its sha256; the rows are
those of the files that the test folder holds when this runs, and where there are none, as before the hidden rerun, the
sample's with the class priors."""
FLOOR = """from kit.kaggle.serve import leave_priors

competition = leave_priors(find_data({competition!r}))"""
GIVEN = """minutes = {minutes}
weights = \"\""""
INSTALLED = """from kit.kaggle.serve import install

install({package!r}, weights)"""
PREDICTED = """from kit.kaggle.attached import runs_in
from kit.kaggle.serve import predict_here

predict_here(runs_in(weights), competition, minutes{options})"""


@part
class Inference:
    """How the kernel predicts: within how many minutes, by which engine, how runs are mixed, and each one's share.

    post: whether the mixture is then post-processed.
    """

    minutes: float = 90.0
    engine: str = "torch"
    how: str = "mean"
    shares: tuple = ()  # none: alike
    post: bool = False  # by the first run's post.json

    def check(self):
        from kit.inference.mixing import WAYS  # here, for it needs PyTorch

        above(self, 0, "minutes")
        one_of(self, "engine", ENGINES)
        one_of(self, "how", WAYS)
        if self.shares and (min(self.shares) < 0 or not sum(self.shares) > 0):
            raise ValueError(f"shares must be numbers from 0, not all 0, got {self.shares}")

    def options(self, runs: int) -> str:
        """What its call is given beside the minutes. Raises ValueError where shares are not one a run."""
        if self.shares and len(self.shares) != runs:
            raise ValueError(f"shares must be {runs} numbers, one a run, got {len(self.shares)}")
        given = {"engine": self.engine, "how": self.how, "weights": self.shares or None, "post": self.post or None}
        left_out = ("torch", "mean", None)
        return "".join(f", {name}={value!r}" for name, value in given.items() if value not in left_out)


def write_inference(inference: Inference, kernel: Kernel, runs: Sequence[str], wheels: bool, folder: Path) -> Bundle:
    """The folder that a push sends: a kernel with the weights of runs, of these names, and with wheels or not."""
    package, options = ENGINES[inference.engine], inference.options(len(runs))
    code = [
        nbformat.v4.new_code_cell(FLOOR.format(competition=kernel.competition)),
        nbformat.v4.new_code_cell(GIVEN.format(minutes=inference.minutes), metadata={"tags": ["parameters"]}),
        *[nbformat.v4.new_code_cell(INSTALLED.format(package=package))] * (wheels and bool(package)),
        nbformat.v4.new_code_cell(PREDICTED.format(options=options)),
    ]
    about = nbformat.v4.new_markdown_cell(ABOUT.format(runs=", ".join(runs), source=kernel.weights.source))
    with tempfile.TemporaryDirectory() as alone:  # nothing lies beside it that its imports could mean
        notebook = Path(alone) / "inference.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[about, *code]), notebook)
        return write_kernel(notebook, kernel, {}, folder, end="")
