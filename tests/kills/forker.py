"""A process that has imported everything once, and forks for each task that a test kills, starves or lets be.

It reads a task a line, as JSON: what, given (a dict), root (the folder it writes in), and what befalls it, if anything:
    kill_after   seconds until it is killed
    die_at       the number of the file operation before which it is killed
    most_bytes   the largest file that it may write
    disk_bytes   the size of the disk that root is
    read_only    root is
It answers at the task's end with the child's status and what it tells.
"""

import ctypes
import hashlib
import importlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import joblib
import pandas as pd
import torch

from kit.__main__ import main
from kit.competition.competition import open_competition
from kit.data.store import open_store, pack
from kit.experiment import Experiment
from kit.results.ledger import add_row, read_ledger
from kit.training.crossval import crossval
from kit.training.pseudo_rounds import make_pseudo_labels

LATE = ("scipy.stats", "sklearn.metrics", "sklearn.model_selection", "timm", "torch._dynamo", "torchaudio.functional")
for name in LATE:
    importlib.import_module(name)  # what a training imports late: seconds in each fork

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_CHILD_SUBREAPER = 36
OPERATIONS = {"open", "os.chmod", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.scandir", "shutil.rmtree"}
competitions = {}


# What is done and killed.


def packing(given, root):
    store = pack(competitions[given["data"]], root, kind=given["kind"], progress=False)
    return {"store": store.folder.name}


def grid(given, root):
    experiments = [Experiment.from_dict(values) for values in given["experiments"]]
    backend, jobs = given["backend"], 2 if given["backend"] else 1
    with joblib.parallel_config(backend, n_jobs=jobs) if backend else joblib.parallel_config():
        for _ in range(given.get("calls", 1)):
            crossval(
                experiments, competitions[given["data"]], root, folds=given["folds"], cache=given["cache"], threads=1,
                n_jobs=None if backend else 1, progress=False,
            )  # fmt: skip


def pseudo(given, root):
    torch.set_num_threads(1)
    make_pseudo_labels(given["runs"], open_store(given["store"]), root, threshold=0.5, least=2)


def ledger(given, root):
    """Adds rows, and says of each that it is there once it is."""
    Path(root).mkdir(exist_ok=True)
    said = os.open(Path(root) / ".said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for row in given["rows"]:
        add_row(Path(root) / "ledger.csv", row)
        os.write(said, f"{row['run']}\n".encode())


def commands(given, root):
    """The exit code and the last words of python -m kit, for each list of arguments, run in root."""
    os.chdir(root)
    found = []
    for arguments in given["commands"]:
        words, out = io.StringIO(), io.StringIO()
        with redirect_stderr(words), redirect_stdout(out):
            code = main(arguments)
        found.append({"code": code, "error": words.getvalue(), "parts": parts(root), "files": sorted(bits(root))})
        if given.get("relief"):  # as a user who frees some space
            mounted("tmpfs", root, "tmpfs", MS_REMOUNT, "size=1g")
    return {"found": found, "bits": bits(root)}


TASKS = {"pack": packing, "grid": grid, "pseudo": pseudo, "ledger": ledger, "commands": commands}


# What is left.


def visible(folder):
    """The files under a folder that are results: no name of theirs is hidden, or that of a part."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    hidden = [
        any(name[0] == "." or name.endswith(".part") for name in path.relative_to(folder).parts) for path in files
    ]
    return [path for path, hides in zip(files, hidden, strict=True) if not hides]


def parts(folder):
    """What is left of unfinished files and folders, but for empty ones, which a living process may be about to fill."""
    found = [path for path in sorted(Path(folder).rglob("*")) if path.name.endswith(".part")]
    return [str(path.relative_to(folder)) for path in found if path.is_file() or any(path.iterdir())]


def bits(folder):
    """sha256 of each result by its path, but for what tells the time."""
    return {str(path.relative_to(folder)): hashlib.sha256(timeless(path)).hexdigest() for path in visible(folder)}


def timeless(path):
    if path.name == "metrics.json":
        return json.dumps({**json.loads(path.read_text()), "minutes": 0}).encode()
    if path.name == "ledger.csv":
        return read_ledger(path).drop(columns="time_utc").to_csv().encode()
    if path.suffix == ".pt":  # whose pickle also tells which equal strings are one object, as they are not after a load
        return b"".join(pieces(torch.load(path, weights_only=True)))
    return path.read_bytes()


def pieces(value):
    """All that a checkpoint holds, tensors by their bytes."""
    if isinstance(value, torch.Tensor):
        yield from (f"{value.dtype} {tuple(value.shape)}".encode(), value.numpy().tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            yield repr(key).encode()
            yield from pieces(item)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)}".encode()
        for item in value:
            yield from pieces(item)
    else:
        yield repr(value).encode()


def check_whole(folder):
    """Raises where a result is half-written."""
    readers = {
        ".json": lambda path: json.loads(path.read_text()),
        ".parquet": pd.read_parquet,
        ".pt": lambda path: torch.load(path, weights_only=True),
        ".bin": lambda path: open_store(path.parent),
    }
    for path in visible(folder):
        if path.suffix == ".csv":
            assert path.read_bytes().endswith(b"\n"), path
            pd.read_csv(path, encoding_errors="strict")
        else:
            readers[path.suffix](path)


# What befalls it.


def die_at(number, root):
    """SIGKILL for the whole group before the number-th operation on a file under root. Gives the count so far."""
    count = [0]

    def hook(event, arguments):
        if event in OPERATIONS and isinstance(arguments[0], (str, os.PathLike)) and str(arguments[0]).startswith(root):
            count[0] += 1
            if count[0] == number:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def apart():
    """Mounts of this process's own, that no other sees and that end with it. Raises OSError where that is forbidden."""
    user, group = os.getuid(), os.getgid()
    if LIBC.unshare(CLONE_NEWNS):
        if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    mounted("none", "/", None, MS_REC | MS_PRIVATE)


def mounted(source, target, kind, flags=0, options=None):
    texts = [text and str(text).encode() for text in (source, target, kind)]
    if LIBC.mount(*texts, ctypes.c_ulong(flags), options and options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {kind or 'bind'}")


def befall(task):
    """Where it is not permitted, the task tells so and is not run."""
    root = task["root"]
    if "most_bytes" in task:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["most_bytes"],) * 2)
    if "disk_bytes" in task or task.get("read_only"):
        apart()
        os.makedirs(root, exist_ok=True)
        if "disk_bytes" in task:
            mounted("tmpfs", root, "tmpfs", 0, f"size={task['disk_bytes']}")
        else:
            mounted(root, root, None, MS_BIND)
            mounted(root, root, None, MS_BIND | MS_REMOUNT | MS_RDONLY)


def child(task, told):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        befall(task)
    except OSError as error:
        told.write(json.dumps({"forbidden": str(error)}))
        return 0
    count = die_at(task.get("die_at"), task["root"])
    try:
        told.write(json.dumps({**(TASKS[task["what"]](task["given"], task["root"]) or {}), "operations": count[0]}))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve():
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)  # a killed child's own children are then waited for as well
    for line in sys.stdin:
        task = json.loads(line)
        if data := task["given"].get("data"):
            competitions.setdefault(data, open_competition(data))
        with tempfile.TemporaryFile("w+") as told:
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                code = child(task, told)
                told.flush()
                os._exit(code)
            os.setpgid(pid, pid)
            if "kill_after" in task:
                time.sleep(task["kill_after"])
                os.killpg(
                    pid, signal.SIGKILL
                )  # of the group, as when a machine stops; not waited for, pid is still its
            status = os.waitpid(pid, 0)[1]
            try:
                os.killpg(pid, signal.SIGKILL)  # the workers of one that ended wait minutes for more to do
                while True:
                    os.waitpid(-pid, 0)
            except (ChildProcessError, ProcessLookupError):
                pass
            told.seek(0)
            print(json.dumps({"status": status, **json.loads(told.read() or "{}")}), flush=True)


if __name__ == "__main__":
    serve()
