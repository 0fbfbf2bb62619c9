"""A row of the benchmarks: the kit's way, its peer's and what bounds it, by turns in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

# What the counter knows of attention on a GPU alone: shapes of the gradient, in a backward pass, of q, k and v.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4])
    ),
}
Way = Callable[[], object]


@dataclass(frozen=True)
class Bound:
    """What keeps a row from being faster; a way that does nothing else, whose time, times `scale`, is the limit."""

    what: str
    way: Way | None = None
    scale: float = 1.0


def products(what: str, once: Way) -> Bound:
    """Matrix products and convolutions alone: those of once(), at the rate of one large product."""
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        once()
    factor = torch.randn(1024, 1024)
    return Bound(what, lambda: factor @ factor, counter.get_total_flops() / (2 * 1024**3))


def take_turns(
    benchmark, kit: Way, bound: Bound, *, turns: int, rounds: int = 1, reach: float | None = None, **peer: Way
) -> None:
    """Measure `kit`, a peer by the name of its keyword, and the bound's way.

    Each has so many rounds a turn, and a turn before that does not count: what else the machine does, which may change
    a time by a quarter within minutes, then touches all of them alike.
    """
    seconds: dict[Way, list[float]] = {way: [] for way in (*peer.values(), bound.way) if way}  # a peer may be the bound
    served = 0

    def others():
        nonlocal served
        if served % rounds == 0:
            for way, spent in seconds.items():
                for _ in range(rounds):
                    started = time.perf_counter()
                    way()
                    spent.append(time.perf_counter() - started)
        served += 1

    benchmark.pedantic(kit, setup=others, rounds=turns * rounds, warmup_rounds=rounds)
    for name, way in peer.items():
        counted = seconds[way][rounds:]
        benchmark.extra_info |= {"beside": name, "peer": {"median": median(counted), "min": min(counted)}}
    benchmark.extra_info |= {"bounded by": bound.what, "reach": reach}
    if bound.way:
        benchmark.extra_info["limit (ms)"] = 1000 * bound.scale * median(seconds[bound.way][rounds:])
