"""What all figures share: resolution, type, and a run's colour and mark, the same in every notebook.

The colours are those of Okabe and Ito 2008 (jfly.uni-koeln.de/color), which those who see red and green alike tell
apart, without the yellow, which white paper swallows; a mark a colour tells them apart in grey.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
MARKERS = "os^Dv<P"
FELL_COLOR = "#d55e00"  # of what is to be noticed
# Places in COLORS of the notebooks' own runs: a ladder and a list of mixups are never in one figure.
PLACES = {
    "simple": 0, "conformer": 1, "attention": 2, "margin": 3, "longer": 4, "masks": 5, "spread": 6,
    "none": 0, "input": 1, "manifold": 2, "last_layer": 3, "lpc": 4, "lpc_input": 5,
}  # fmt: skip

STYLE = {
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def styled() -> Iterator[None]:
    """The kit's style for the figures that the block makes; settings outside stay as they are.

    A notebook's backend changes settings when it draws for the first time, which the block's end would undo, and no
    later figure would be shown: so it is made to do so before.
    """
    plt.draw_if_interactive()
    with plt.rc_context(STYLE):
        yield


def run_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each run by its name: those of PLACES have their own, others the next that is free.

    From the eighth on colours come again, with another mark.

    >>> [style["color"] for style in run_styles(["mine", "simple"]).values()]
    ['#d55e00', '#0072b2']
    """
    names, n = list(dict.fromkeys(names)), len(COLORS)
    taken = {PLACES[name] for name in names if name in PLACES}
    free = (place for place in range(n + len(names)) if place not in taken)
    places = {name: PLACES[name] if name in PLACES else next(free) for name in names}
    return {name: {"color": COLORS[k % n], "marker": MARKERS[(k + k // n) % n]} for name, k in places.items()}
