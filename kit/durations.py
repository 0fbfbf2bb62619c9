"""How long the demo's notebooks take: kept as they were measured, and told before they run."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from kit.atomic import replacing

FILE = Path(__file__).parents[1] / "notebooks/seconds.json"
FIRST = "02_first_submission"  # the notebook that writes the first CSV


def plan(paths: Sequence[Path]) -> str:
    """What will run, and about how long each takes: by the times of a run whose day and cores are named."""
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"seconds": {}}
    seconds: dict[str, float] = kept["seconds"]
    lines, passed = [], 0.0
    for path in paths:
        taken = seconds.get(path.stem)
        passed = passed + taken if taken is not None else float("nan")
        first = "   the first scored submission" if path.stem == FIRST else ""
        first += f", {told(passed)} after the start" if first and passed == passed else ""
        lines.append(f"  {path.stem:28}{told(taken):>14}{first}")
    lines.append(f"  {'together':28}{told(passed):>14}")
    if seconds:
        lines.append(f"by a run on {kept['cores']} cores on {kept['day']}; beside other work it takes longer")
    return "\n".join(lines)


def told(seconds: float | None) -> str:
    """`about 40 s`, `about 3 min`; `not measured` where it is not known."""
    if seconds is None or seconds != seconds:
        return "not measured"
    return f"about {max(5, 5 * round(seconds / 5))} s" if seconds < 100 else f"about {round(seconds / 60)} min"


def keep(seconds: Mapping[str, float]) -> None:
    """Write down how long notebooks took here, in the place of what was known of them."""
    kept = json.loads(FILE.read_text(encoding="utf-8"))["seconds"] if FILE.exists() else {}
    rounded = {name: round(taken, 1) for name, taken in sorted({**kept, **seconds}.items())}
    with replacing(FILE) as beside:
        text = json.dumps({"day": str(date.today()), "cores": os.cpu_count(), "seconds": rounded}, indent=1)
        beside.write_text(f"{text}\n", encoding="utf-8")
