"""The mixups' trial on a folder, as a page with its figure: by training size, at equal updates and at equal minutes.

python -m kit.studies.mixup_pages --data path/to/keywords40 --out docs/mixups
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from kit import open_competition, preset
from kit.atomic import replacing
from kit.results.figures.style import run_styles, styled
from kit.results.ledger import to_markdown
from kit.results.reading import compare_reading
from kit.studies.mixup_trial import Fit, budget, mixups, trial

READING = """An interval is of its comparison alone; p is corrected for the table (Holm), and the verdict follows it.
"Equal minutes" has as many updates as fit into the minutes of none; all other rows have equal updates.
"""


def gain_by_size(tables: Sequence[pd.DataFrame], metric: str) -> Figure:
    """Each mixup's difference from none against the part of the rows that it trained on, with 95 % intervals."""
    table = pd.concat(tables)
    table = table[table["low"].notna()]
    styles = run_styles(table["name"].unique())
    with styled():
        figure, axes = plt.subplots(figsize=(7.5, 3.8))
        for at, (name, style) in enumerate(styles.items()):
            rows = table[table["name"] == name].sort_values("size")
            x = rows["size"] * 1.04 ** (at - len(styles) / 2)  # side by side, so that no interval hides another
            reach = [rows["delta"] - rows["low"], rows["high"] - rows["delta"]]
            axes.errorbar(x, rows["delta"], reach, lw=1.2, ms=4, label=name, **style)
        axes.axhline(0, color="0.4", lw=1)
        sizes = sorted(table["size"].unique())
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.set(title="What each mixup gains over none", xlabel="part of each class's training rows")
        axes.set_ylabel(f"difference in {metric}\n(95 % interval), better →")
        figure.legend(loc="outside right center")
    return figure


def page(table: pd.DataFrame, fit: Fit, n_rows: int, updates: int) -> str:
    """A training size in Markdown: how well the unmixed net fitted, and the table."""
    size, seeds = table["size"].iloc[0], table["seeds"].iloc[0]
    told = (
        f"{n_rows} rows out of fold, {seeds} {'seed' if seeds == 1 else 'seeds'}, {updates} updates. At the end the "
        f"unmixed net has {fit.train_accuracy:.1%} of its training crops right, masked and by the margin; its score "
        f"rose by {fit.late_rise:+.3f} over the last quarter of the epochs.\n"
    )
    shown = compare_reading(table).assign(minutes=[f"{minutes:.1f}" for minutes in table["minutes"]])
    title = "All rows" if size == 1 else f"{size:g} of each class's rows"
    return f"## {title}\n\n{told}\n{to_markdown(shown)}\n"


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    competition = open_competition(options.data)
    name = competition.folder.name
    experiments = mixups(budget(preset("quick"), options.updates, options.width), "audio" in competition.train)
    command = shlex.join(["python", "-m", "kit.studies.mixup_pages", *arguments])
    pieces, tables = [f"# The mixups on {name}, given a fair trial\n\n    {command}\n\n{READING}"], []
    for size in map(float, options.sizes.split(",")):
        out = Path("runs") / f"{name}-mixup-trial" / f"{options.updates}-of-{size:g}"
        table, fit = trial(experiments, competition, out, size, range(options.seeds))
        tables.append(table)
        pieces.append(page(table, fit, len(competition.train), options.updates))
        print(pieces[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with replacing(options.out / f"{name}.png") as beside:
        gain_by_size(tables, competition.metric).savefig(beside, format="png")
    with replacing(options.out / f"{name}.md") as beside:
        beside.write_text("\n".join([*pieces, f"![gain by training size]({name}.png)\n"]), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m kit.studies.mixup_pages", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a competition's folder of sounds with one label")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the page and its figure")
    parser.add_argument("--updates", type=int, default=1500, help="of batches of 32 (1500)")
    parser.add_argument("--width", type=int, default=96, help="of the Conformer (96)")
    parser.add_argument("--sizes", default="1,0.5,0.25", help="parts of each class's rows (1,0.5,0.25)")
    parser.add_argument("--seeds", type=int, default=1, help="how many (1)")
    return parser


if __name__ == "__main__":
    main()
