"""A kill at any moment of submit or scores loses no row and sends nothing twice."""

import json
import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.kaggle import commands, sending
from kit.results.ledger import add_row, file_sha256, read_ledger

LEDGER = "submissions/ledger.csv"
TO = ["--competition", "voices-challenge"]
# A process that has imported everything once and forks for each command: its pid, then how it ended.
FORKER = """
import json, os, sys
from kit.__main__ import main
import kaggle, kit.kaggle.commands
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ.update(task["env"])
        os.chdir(task["folder"])
        os._exit(main(task["arguments"]))
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
MOMENTS = [
    (method, side)
    for method in ("GetSubmissionLimits", "StartSubmissionUpload", "PUT", "CreateSubmission")
    for side in ("before", "after")
]


@pytest.fixture(scope="module")
def forker(tmp_path_factory):
    home = str(tmp_path_factory.mktemp("home"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
    env |= {"HOME": home, "KAGGLE_CONFIG_DIR": home, "PYTHONPATH": str(Path(__file__).parents[2])}
    env |= {"KAGGLE_USERNAME": "nobody", "KAGGLE_KEY": "none"}  # else the import prints a page and closes stdin
    env |= {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "NO_PROXY": ""}  # plain HTTP to localhost, by way of HTTP_PROXY
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", FORKER], env=env, **pipes) as process:
        yield process


@pytest.fixture
def killed(forker, account, stub, monkeypatch):
    """Run a command in a process of its own and kill it at a moment of the stub's."""
    monkeypatch.setattr(sending, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(commands, "POLL_SECONDS", 0.01)
    env = {name: os.environ[name] for name in ("HOME", "KAGGLE_CONFIG_DIR", "KAGGLE_USERNAME", "KAGGLE_KEY")}
    env["HTTP_PROXY"] = stub.url

    def run(moment, arguments, call=1):
        method, side = moment
        pids = queue.Queue()

        def kill():
            if stub.count(method) == call:
                os.kill(pids.get(timeout=10), signal.SIGKILL)

        getattr(stub, side)[method] = kill
        task = {"arguments": [str(argument) for argument in arguments], "env": env, "folder": str(account)}
        forker.stdin.write(json.dumps(task) + "\n")
        forker.stdin.flush()
        pids.put(int(forker.stdout.readline()))
        assert int(forker.stdout.readline()) == signal.SIGKILL, "it ended before its moment came"
        getattr(stub, side).clear()

    return run


@pytest.fixture
def csv(account, voices):
    labels = [voices.classes[number % len(voices.classes)] for number in range(len(voices.test))]
    lines = [f"{name},{label}\n" for name, label in zip(voices.test["id"], labels, strict=True)]
    path = account / "simple.csv"
    path.write_text("Id,Category\n" + "".join(lines))
    for number in range(3):
        sha256 = file_sha256(path) if number == 1 else f"{number}" * 64
        add_row(LEDGER, {"run": f"voices/{number}", "name": "simple", "sha256": sha256, "file": "simple.csv"})
    return path


def test_submit(killed, stub, kit, voices_folder, csv):
    """At each moment in turn, and then the same command again."""
    ledger_before = read_ledger(LEDGER)
    command = ["submit", csv, *TO, "--data", voices_folder]
    for number, moment in enumerate(MOMENTS):
        for store in (stub.calls, stub.submissions):
            store.clear()
        reset_ledger(ledger_before)
        killed(moment, command)
        rows = read_ledger(LEDGER)
        assert rows["run"].tolist() == ledger_before["run"].tolist(), moment
        arrived = len(stub.submissions)
        assert rows["ref"].eq("").all() and arrived == (moment[0] == "CreateSubmission"), moment
        code, out, error = kit(*command)
        assert code == 0, (moment, error)
        assert len(stub.submissions) == 1 and stub.count("CreateSubmission") == 1, moment
        assert ("not sent again" in out) == bool(arrived), (number, out)
        row = read_ledger(LEDGER).iloc[1]
        assert (row["ref"], row["status"], row["public"]) == ("5000", "complete", 0.71234), moment


def test_submit_while_it_waits_for_the_score(killed, stub, kit, voices_folder, csv):
    killed(("ListSubmissions", "before"), ["submit", csv, *TO, "--data", voices_folder], call=2)
    row = read_ledger(LEDGER).iloc[1]
    assert (row["ref"], row["status"]) == ("5000", "pending")
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 1 and len(stub.submissions) == 1
    assert kit("scores")[0] == 0 and read_ledger(LEDGER)["public"].iloc[1] == 0.71234


@pytest.mark.parametrize("side", ["before", "after"])
def test_scores(killed, stub, kit, csv, side):
    stub.CreateSubmission({"submissionDescription": f"[kit voices/1 {file_sha256(csv)[:12]}]"})
    before = (Path(LEDGER)).read_bytes()
    killed(("ListSubmissions", side), ["scores", *TO])
    assert Path(LEDGER).read_bytes() == before
    assert kit("scores", *TO)[0] == 0
    assert read_ledger(LEDGER)["public"].notna().tolist() == [False, True, False]


@pytest.fixture
def slept(monkeypatch):
    """How long it would have waited, each time, in seconds."""
    waits = []
    monkeypatch.setattr(sending.time, "sleep", waits.append)
    return waits


def test_a_fresh_intent_is_given_time_to_arrive(account, stub, kit, voices_folder, csv, slept):
    row = read_ledger(LEDGER).iloc[1]
    sending.mark(Path(LEDGER), row, sent_to=TO[1], sent_utc="2026-01-01T00:00:00Z", status=sending.SENDING)
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 0
    assert slept[0] == 0, "an old intent has settled"
    now = sending.datetime.now(sending.UTC).strftime(sending.TIME)
    sending.mark(Path(LEDGER), row, ref=None, sent_utc=now, status=sending.SENDING)
    slept.clear()
    code, out, _ = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 0 and "not sent again" in out
    assert 25 < slept[0] <= sending.SETTLE_SECONDS


def test_a_clock_set_back_does_not_make_it_wait_longer(account, stub, kit, voices_folder, csv, slept):
    row = read_ledger(LEDGER).iloc[1]
    sending.mark(Path(LEDGER), row, sent_to=TO[1], sent_utc="2999-01-01T00:00:00Z", status=sending.SENDING)
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 0
    assert slept[0] == sending.SETTLE_SECONDS


def reset_ledger(rows):
    Path(LEDGER).unlink()
    for row in rows.to_dict("records"):
        add_row(LEDGER, row)
