"""Mutation testing of the kit's core: how many small faults do a module's own tests catch?

    pip install mutmut==3.8.1
    python tests/mutants.py                                       # all of the core: hours on one processor core
    python tests/mutants.py results/bootstrap --sample 40         # 40 of its mutants, drawn at random

Each module is mutated in a copy of the checkout. Printed are each survivor's change, and the share that was caught: by
a test, or by a limit on time. docs/mutants.md has the scores, and why each survivor is one.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = {  # of each module the tests that must catch its mutants, where not tests/<room>/test_<module>.py alone
    "results/significance": (),
    "results/resampling": ("results/test_resampling.py", "results/test_bootstrap.py"),
    "results/bootstrap": ("results/test_bootstrap.py", "results/test_resampling.py"),
    "results/weighted_scores": (),
    "results/weighted_auc": ("results/test_weighted_auc.py", "results/test_resampling.py"),
    "results/compare": (),
    "competition/scores": (),
    "competition/metrics": (),
    "competition/folds": ("competition/test_folds.py", "competition/test_group_split.py"),
    "competition/group_split": ("competition/test_group_split.py", "competition/test_folds.py"),
    "data/mix_plan": ("data/test_mix_plan.py", "data/test_mixup.py"),
    "data/mixup": (),
    "data/lpc": (),
    "training/losses": (),
    "training/loss_sums": (),
    "training/checkpoint": (),
    "training/loop": ("training/test_fit.py", "test_experiment.py"),
    "training/step": ("training/test_step.py", "training/test_fit.py"),
    "training/fit": (),
    "training/pseudo": (),
    "results/check": (),
    "results/ledger": (),
    "kaggle/sending": ("kaggle/test_commands.py", "kaggle/test_kills.py"),
    "studies/prototypes": (),
}
CAUGHT = ("killed", "timeout", "segfault")
MUTMUT = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(CORE), metavar="room/module", help=", ".join(CORE))
    parser.add_argument("--sample", type=int, metavar="N", help="of each module no more than N mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    options = parser.parse_args()
    for module in options.modules:
        if module not in CORE:
            parser.error(f"a module must be one of {', '.join(CORE)}, got {module}")
    for module in options.modules:
        status = run(module, options.sample, random.Random(options.seed))
        caught = sum(how in CAUGHT for how in status.values())
        print(f"{module}: {caught} of {len(status)} caught", flush=True)


def run(module: str, sample: int | None, rng: random.Random) -> dict[str, str]:
    """What became of each mutant tried, by its name; prints the change of those that were not caught."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        copy_checkout(room, module)
        os.chdir(room)  # mutmut reads its configuration from here
        names = mutants_of(f"kit/{module}.py")
        if sample is not None and sample < len(names):
            names = rng.sample(names, sample)
        done = subprocess.run([*MUTMUT, "run", "--max-children", "1", *names], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{module}: mutmut failed\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        status = outcomes(f"kit/{module}.py", names)
        for name, how in status.items():
            if how not in CAUGHT:
                print(change_of(name, how), flush=True)
        os.chdir(ROOT)
    return status


def copy_checkout(room: Path, module: str) -> None:
    """The files that tests read, and what mutmut is to do."""
    for name in ("kit", "tests", "docs", "notebooks"):
        shutil.copytree(ROOT / name, room / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.txt"), ROOT / "Makefile"):
        shutil.copy(path, room)
    tests = CORE[module] or (f"{module.split('/')[0]}/test_{module.split('/')[1]}.py",)
    settings = {
        "source_paths": ["kit"],
        "only_mutate": [f"kit/{module}.py"],
        "also_copy": ["tests", "docs"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [f"tests/{test}" for test in tests],
        "process_isolation": "fork",
        "timeout_multiplier": 2.0,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    project = (ROOT / "pyproject.toml").read_text()
    (room / "pyproject.toml").write_text("\n".join([project, "[tool.mutmut]", *lines, ""]))


def mutants_of(path: str) -> list[str]:
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    found = mutate_file_contents(path, Path(path).read_text())
    return [get_mutant_name(Path(path), name) for name in found.mutant_names]


def outcomes(path: str, names: list[str]) -> dict[str, str]:
    from mutmut.stats import status_by_exit_code

    codes = json.loads(Path(f"mutants/{path}.meta").read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[codes[name]] for name in names}


def change_of(name: str, how: str) -> str:
    shown = subprocess.run([*MUTMUT, "show", name], capture_output=True, text=True, check=True).stdout.splitlines()
    changed = [line for line in shown if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    return "\n".join([f"{name}: {how}", *changed])


if __name__ == "__main__":
    main()
