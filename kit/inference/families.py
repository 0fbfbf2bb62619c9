"""`python -m kit.inference.families --out docs/export.md`: which of timm's families can be exported, tried.

Of each family that docs/timm.md says works, its smallest net is made an ONNX graph of free batch and length, which
ONNX Runtime runs beside PyTorch on noise of other batches and lengths than the graph was made of. Each has a process of
its own, whose processor time is limited; the nets with the fewest weights come first.
"""

import argparse
import multiprocessing
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from kit.atomic import replacing
from kit.inference.engines import library
from kit.inference.onnx_check import BOUND
from kit.inference.onnx_graph import onnx_graph
from kit.inference.onnx_nets import Logits
from kit.models.net import Net
from kit.models.timm_backbone import Timm

N_MELS, N_CLASSES = 64, 5
MADE_OF = (2, 67)  # items and frames of the graph
SIZES = ((1, 67), (3, 67), (1, 7), (2, 130), (3, 207))  # and those that it is compared on
LIMIT_SECONDS = 12.0  # of the trial in docs/timm.md: a larger net's export takes minutes
EXPORT_SECONDS = 120  # of a processor, that a net's export and comparison may take
WORKS = re.compile(r"^\| (\w+) \| (\w+) \| ([\d.]+) \| works.*? \| \d+ \| ([\d.]+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """What came of one family. largest: difference of logits, relative to the largest where that is above 1; NaN where
    there is no graph. reason: why it can't be used, "" where it can.
    """

    family: str
    name: str
    largest: float = float("nan")
    reason: str = ""


def working_nets(page: str | Path, limit_seconds: float = LIMIT_SECONDS) -> dict[str, str]:
    """The smallest net of each family that works, of those that docs/timm.md tried within so many seconds; those with
    the fewest weights first.
    """
    rows = WORKS.findall(Path(page).read_text(encoding="utf-8"))
    rows = sorted(rows, key=lambda row: float(row[2]))
    return {family: name for family, name, _, seconds in rows if float(seconds) < limit_seconds}


def try_within(seconds: int, family: str, name: str) -> Row:
    """try_export in a process of its own, which is ended after so many seconds of a processor."""
    processes = multiprocessing.get_context("spawn")
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=_send_row, args=(sender, seconds, family, name))
    process.start()
    sender.close()  # the process has its own: with both closed there is nothing to wait for
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            return Row(family, name, reason=f"must be done within {seconds} s of a processor")
        return Row(family, name, reason=f"its process ended with exit code {process.exitcode}")
    finally:
        process.join()


def _send_row(sender: Connection, seconds: int, family: str, name: str) -> None:
    import resource  # which Windows lacks

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    sender.send(try_export(family, name))


def try_export(family: str, name: str) -> Row:
    """Make the graph, and compare it at each of SIZES."""
    net = Net(Timm(name)).make(N_MELS, N_CLASSES, 64).eval()
    mel = torch.randn(*MADE_OF, N_MELS)
    with torch.no_grad():  # a random net's embedding may be near 0, and so would be its differences
        net.head.weight /= (net(mel)[0] - net.head.bias).abs().max().clamp(min=1e-12)
    try:
        proto = onnx_graph(Logits(net), {"mel": mel}, "logits", {})
    except ValueError as error:
        return Row(family, name, reason=str(error))
    try:
        largest = max(_differences(proto, net))
    except Exception as error:  # ONNX Runtime has a class for each of its codes
        return Row(family, name, reason=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    reason = "" if largest < BOUND else f"must be within {BOUND:g} of PyTorch"
    return Row(family, name, largest, reason)


def _differences(proto, net: torch.nn.Module) -> Iterable[float]:
    runtime = library("onnxruntime")
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, frames in SIZES:
        mel = torch.randn(batch, frames, N_MELS, generator=torch.Generator().manual_seed(frames))
        with torch.inference_mode():
            expected = net(mel)[0]
        logits = torch.from_numpy(session.run(None, {"mel": mel.numpy()})[0])
        yield ((logits - expected).abs().max() / expected.abs().max().clamp(min=1.0)).item()


def table(rows: list[Row], families: int) -> str:
    """The page: how many of so many families were tried, and can be exported; then one row a family."""
    import timm

    refused = sum(bool(row.reason) for row in rows)
    batches = ", ".join(f"{batch} × {frames}" for batch, frames in SIZES)
    lines = [
        "# timm's families as ONNX graphs",
        "",
        f"Made by `python -m kit.inference.families --out docs/export.md` with timm {timm.__version__}, PyTorch "
        f"{torch.__version__.split('+')[0]} and ONNX Runtime {library('onnxruntime').__version__}. Of each family that "
        f"works in docs/timm.md, and there took less than {LIMIT_SECONDS:g} s, the smallest net was made a graph of "
        f"{MADE_OF[0]} × {MADE_OF[1]} frames (batch × length) of {N_MELS} mels, and compared with PyTorch on "
        f"{batches}. The difference is the largest of any logit, relative to the largest logit where that is above 1.",
        "",
        f"{len(rows)} of these {families} families were tried: {len(rows) - refused} can be exported, {refused} can't.",
        "",
        "| family | net | exports | difference | why |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row.family):
        far = "" if row.largest != row.largest else f"{row.largest:.1e}"
        why = row.reason.replace("|", "\\|")
        told = "no" if row.reason else "yes"
        lines.append(f"| {row.family} | {row.name} | {told} | {far} | {why} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    parser.add_argument("--page", type=Path, default=Path("docs/timm.md"), help="the families that work")
    parser.add_argument("--seconds", type=int, default=EXPORT_SECONDS, help="of a processor, for a net (120)")
    options = parser.parse_args(arguments)
    rows, nets = [], working_nets(options.page)
    for family, name in nets.items():
        rows.append(try_within(options.seconds, family, name))
        print(rows[-1], flush=True)
        with replacing(options.out) as beside:  # each time: all take a quarter of an hour
            beside.write_text(table(rows, len(nets)), encoding="utf-8")


if __name__ == "__main__":
    main()
