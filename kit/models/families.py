"""`python -m kit.models.families --out docs/timm.md`: which of timm's families run on log-mels, tried and not recalled.

Of each family, a module of timm.models, the net with the fewest weights is built for one channel, trained one step at
two lengths, and given a padded batch in eval, whose clips must come out as alone.
"""

import argparse
import gc
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import timm
import torch

from kit.models.lengths import embed_by_length
from kit.models.timm_stages import timm_stages

N_MELS = (40, 128)
TRAIN_FRAMES = (50, 130)
EVAL_FRAMES = (207, 61, 7)
MAX_WEIGHTS = 150_000_000  # a larger net is not tried: it does not fit this trial's memory and time


@dataclass(frozen=True)
class Row:
    """What came of one family. padding: how images are filled up; stages: how many there are between input and frames;
    seconds: for building, two steps and a batch in eval, at both numbers of mels. reason: why not, "" where it runs.
    """

    family: str
    name: str
    weights: int
    padding: str = ""
    stages: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def verdict(self) -> str:
        """works, works padded, or refused."""
        if self.reason:
            return "refused"
        return "works padded" if self.padding else "works"


def smallest_nets() -> dict[str, tuple[str, int]]:
    """The net with the fewest weights of each family, and how many; made without memory for them."""
    nets = {}
    for family in timm.list_modules():
        sizes = {name: size for name in timm.list_models(module=family) if (size := _n_weights(name))}
        if sizes:
            name = min(sizes, key=sizes.get)
            nets[family] = (name, sizes[name])
    return nets


def _n_weights(name: str) -> int:
    """0 for a net that can't be made so."""
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    except (RuntimeError, NotImplementedError, ValueError, TypeError):
        return 0


def try_family(family: str, name: str, weights: int) -> Row:
    """Build, train and evaluate the net at each number of mels."""
    if weights > MAX_WEIGHTS:
        return Row(family, name, weights, reason=f"not tried: over {MAX_WEIGHTS // 10**6} million weights")
    start, paddings, n_stages = time.perf_counter(), [], 0
    for n_mels in N_MELS:
        try:
            stages, width = timm_stages(name, n_mels, "mean_std")
        except ValueError as error:
            return Row(family, name, weights, seconds=time.perf_counter() - start, reason=str(error))
        paddings.append(stages["stem"].padding)
        n_stages = len(stages)
        if reason := _trouble(stages, n_mels):
            return Row(family, name, weights, seconds=time.perf_counter() - start, reason=f"{n_mels} mels: {reason}")
    least, multiple = max(p.min_side for p in paddings), max(p.multiple for p in paddings)
    told = [f"at least {least}"] if least > 32 else []
    told += [f"multiples of {multiple}"] if multiple > 1 else []
    return Row(family, name, weights, ", ".join(told), n_stages, time.perf_counter() - start)


def _trouble(stages: dict[str, torch.nn.Module], n_mels: int) -> str:
    """Why the net does not train or is not the same on a padded clip, "" where it does and is."""

    def embed(mel, mask=None):
        for stage in stages.values():
            mel, mask = stage(mel, mask)
        return mel.mean(dim=1)

    try:
        for frames in TRAIN_FRAMES:
            embed(torch.randn(2, frames, n_mels)).square().mean().backward()
        for stage in stages.values():
            stage.eval()
        lengths = torch.tensor(EVAL_FRAMES)
        mel, mask = torch.randn(len(lengths), max(EVAL_FRAMES), n_mels), torch.arange(lengths.max()) < lengths[:, None]
        with torch.no_grad():
            together = embed_by_length(embed, mel, mask)
            alone = torch.cat([embed(mel[row : row + 1, :length]) for row, length in enumerate(EVAL_FRAMES)])
    except Exception as error:  # a net of timm may fail by any
        return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0][:200]}"
    if not together.isfinite().all():
        return "not finite in eval"
    far = (together - alone).abs().max() / alone.abs().max()
    return "" if far < 1e-3 else f"a padded clip is off by {far:.1e} of the largest value"


def table(rows: list[Row]) -> str:
    """The page: counts, then one row per family."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("works", "works padded", "refused")}
    tried = sum(not row.reason.startswith("not tried") for row in rows)
    lines = [
        "# timm's families on log-mels",
        "",
        f"Made by `python -m kit.models.families --out docs/timm.md` with timm {timm.__version__}. Of each family (a "
        "module of `timm.models`) the net with the fewest weights was built for one channel at "
        f"{' and '.join(map(str, N_MELS))} mels, trained a step on {' and '.join(map(str, TRAIN_FRAMES))} frames, and "
        f"given clips of {', '.join(map(str, EVAL_FRAMES))} frames in one padded batch, each of which came out as "
        "alone.",
        "",
        f"Of {len(rows)} families {tried} were tried: {counts['works']} work as they are, {counts['works padded']} "
        f"with images filled up, {counts['refused'] - len(rows) + tried} are refused. A net of 3 stages (stem, body, "
        "final) could not be cut, and can be mixed at its input and its last map alone.",
        "",
        "| family | smallest net | million weights | verdict | stages | seconds | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row.family):
        why = (row.reason or row.padding).replace("|", "\\|")
        lines.append(
            f"| {row.family} | {row.name} | {row.weights / 1e6:.1f} | {row.verdict} | {row.stages or ''} | "
            f"{row.seconds:.1f} | {why} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    out = parser.parse_args(arguments).out
    logging.getLogger("timm").setLevel(logging.ERROR)
    rows = []
    for family, (name, weights) in smallest_nets().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.append(try_family(family, name, weights))
        gc.collect()
        row = rows[-1]
        print(f"{family} {name}: {row.verdict}, {row.seconds:.1f} s {row.reason or row.padding}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(table(rows))


if __name__ == "__main__":
    main()
