"""From the command line to the stub and back, with every way to go wrong that a newcomer meets."""

import hashlib
import json
import re
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from kit.kaggle import commands, sending, uploads
from kit.kaggle.client import Kaggle
from kit.notebooks import FOLDER
from kit.results.ledger import add_row, file_sha256, read_ledger
from kit.results.submission import write_submission

LEDGER = "submissions/ledger.csv"
TO = ("--competition", "voices-challenge")
NOTEBOOK = FOLDER / "01_look_at_the_data.ipynb"
REF = "stub-user/01-look-at-the-data-voices-challenge"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(commands, "POLL_SECONDS", 0.01)


@pytest.fixture
def csv(account, voices):
    """A good CSV, with a run's row in the ledger."""
    import numpy as np
    import pandas as pd

    probability = np.random.default_rng(0).dirichlet(np.ones(len(voices.classes)), len(voices.test))
    table = pd.DataFrame(probability, columns=list(voices.classes))
    table.insert(0, "id", voices.test["id"].to_numpy())
    path = write_submission(voices, table, account / "submissions/voices-tiny/simple-s0.csv")
    row = {"run": "voices-tiny/simple-s0", "name": "simple", "cv": 0.625, "competition": "voices", "public": 0.5}
    add_row(LEDGER, row | {"sha256": file_sha256(path), "file": "submissions/voices-tiny/simple-s0.csv"})
    return path


def only_row():
    (row,) = read_ledger(LEDGER).to_dict("records")
    return row


def test_push_status_output_submit_scores(account, stub, kit, voices, csv):
    """The whole way of a code competition: the kernel's CSV is the one that was made at home."""
    code, out, _ = kit("push", NOTEBOOK, *TO, "-p", "preset=tiny", "--gpu")
    assert code == 0 and f"pushed {REF}, version 1: https://www.kaggle.com/code/{REF}" in out
    assert re.search(r"kit: \d+ files, sha256 [0-9a-f]{64}, in a cell of \d+ bytes", out)
    assert stub.kernels[REF]["competitionDataSources"] == ["voices-challenge"]

    stub.states = ["QUEUED", "RUNNING", "COMPLETE"]
    assert kit("status", REF)[1] == f"{REF}: queued\n"
    assert kit("status", REF.split("/")[1], "--wait")[1] == f"{REF}: complete\n"

    stub.outputs = {"submission.csv": csv.read_bytes(), "submissions/voices-tiny/simple-s0.csv": csv.read_bytes()}
    stub.outputs[LEDGER] = (account / LEDGER).read_bytes().splitlines(True)[0]
    (account / "theirs").mkdir()
    row = {"run": "voices-challenge-tiny/simple-s0", "name": "simple", "cv": 0.625, "sha256": file_sha256(csv)}
    add_row("theirs/ledger.csv", row | {"file": "submissions/voices-tiny/simple-s0.csv"})
    stub.outputs[LEDGER] = (account / "theirs/ledger.csv").read_bytes()
    code, out, _ = kit("output", REF)
    assert code == 0 and "voices-challenge-tiny/simple-s0" in out
    made = read_ledger(LEDGER).iloc[-1]
    assert made["kernel"] == f"{REF}/1" and file_sha256(made["file"]) == file_sha256(csv)

    code, out, error = kit("submit", "--kernel", f"{REF}/1", *TO)
    assert (code, error) == (0, "") and "as 5000" in out and "public 0.71234" in out
    _, sent = next(call for call in stub.calls if call[0] == "CreateCodeSubmission")
    assert (sent["kernelOwner"], sent["kernelSlug"]) == tuple(REF.split("/"))
    assert (sent["kernelVersion"], sent["fileName"]) == (1, "submission.csv")

    stub.submissions[0]["privateScore"] = "0.65"
    code, out, _ = kit("scores")
    assert code == 0 and "| simple | 0.6250 | 0.7123 | 0.6500 | complete | 5000 |" in out
    row = read_ledger(LEDGER).iloc[-1]
    assert (row["public"], row["private"], row["ref"], row["status"]) == (0.71234, 0.65, "5000", "complete")


def test_a_file_is_sent_once_with_the_run_in_its_message(account, stub, kit, voices_folder, csv):
    code, out, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert (code, error) == (0, "") and out == "sent: voices-tiny/simple-s0 as 5000\npublic 0.71234\n"
    assert stub.submissions[0]["description"] == f"[kit voices-tiny/simple-s0 {file_sha256(csv)[:12]}] CV 0.6250"
    assert list(stub.uploads.values()) == [csv.read_bytes()]
    row = only_row()
    assert (row["public"], row["ref"], row["status"], row["sent_to"]) == (0.71234, "5000", "complete", TO[1])
    code, out, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and out == "" and "was sent to voices-challenge at 2026" in error and "as 5000" in error
    assert stub.count("CreateSubmission") == 1


def test_a_file_that_the_ledger_does_not_know_gets_a_row(account, stub, kit, voices_folder, csv):
    (account / LEDGER).unlink()
    other = shutil.copy(csv, account / "mine.csv")
    assert kit("submit", other, *TO, "--data", voices_folder)[0] == 0
    row = only_row()
    assert (row["run"], row["file"], row["public"], row["competition"]) == ("files/mine", "mine.csv", 0.71234, "voices")


def test_what_was_sent_from_elsewhere_is_found_by_its_tag(account, stub, kit, voices_folder, csv):
    stub.CreateSubmission({"submissionDescription": f"[kit voices-tiny/simple-s0 {file_sha256(csv)[:12]}] CV 0.6250"})
    code, out, _ = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 0 and "was there already, and not sent again: voices-tiny/simple-s0 as 5000" in out
    assert stub.count("CreateSubmission") == 0 and only_row()["ref"] == "5000"


def test_scores_find_a_row_by_its_tag_too(account, stub, kit, csv):
    stub.CreateSubmission({"submissionDescription": f"[kit whoever {file_sha256(csv)[:12]}]"})
    stub.CreateSubmission({"submissionDescription": "by hand"})
    assert kit("scores", *TO)[0] == 0
    row = only_row()
    assert (row["public"], row["ref"], row["sent_to"]) == (0.71234, "5000", "voices-challenge")


def test_what_was_sent_elsewhere_keeps_its_scores(account, stub, kit, csv):
    """The refs of two competitions have nothing to do with each other."""
    sending.mark(Path(LEDGER), only_row(), sent_to="another", ref="5000", status="pending")
    stub.CreateSubmission({"submissionDescription": f"[kit whoever {file_sha256(csv)[:12]}]"})
    assert "voices-challenge: 0 of the ledger's rows" in kit("scores", *TO)[1]
    row = only_row()
    assert (row["public"], row["sent_to"], row["status"]) == (0.5, "another", "pending")


def test_a_score_that_does_not_come_in_time_is_no_error(account, stub, kit, voices_folder, csv):
    stub.scores = None
    code, out, _ = kit("submit", csv, *TO, "--data", voices_folder, "--wait", "0.05")
    assert code == 0 and "no score yet; later: python -m kit scores --competition voices-challenge" in out
    row = only_row()
    assert (row["status"], row["public"]) == ("pending", 0.5)


def test_a_submission_that_kaggle_can_not_score_is_an_error(account, stub, kit, voices_folder, csv):
    stub.after["CreateSubmission"] = lambda: stub.submissions[0].update(status="ERROR", errorDescription="Bad ids")
    code, _, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and error == "kit submit: 5000: Kaggle could not score it: Bad ids\n"
    assert only_row()["status"] == "error"


@pytest.mark.parametrize(
    ("method", "failure", "told"),
    [
        ("StartSubmissionUpload", (403, "You must accept this competition's rules"), "403: You must accept"),
        ("StartSubmissionUpload", (409, "The competition has ended"), "409: The competition has ended"),
        ("GetSubmissionLimits", (429, "Too many requests"), "429: Too many requests; wait a while"),
        ("CreateSubmission", (400, "Submission limit reached"), "400: Submission limit reached"),
        ("PUT", (500, ""), "the upload failed, and nothing was submitted"),
    ],
)
def test_a_sure_no_leaves_the_row_unsent(account, stub, kit, voices_folder, csv, method, failure, told):
    stub.fail[method] = failure
    code, out, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and told in error and len(error.splitlines()) == 1 and out == ""
    row = only_row()
    assert (row["status"], row["ref"], row["sent_to"], row["sent_utc"], row["public"]) == ("", "", "", "", 0.5)
    stub.fail.clear()
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 0 and len(stub.submissions) == 1


def test_a_server_fault_after_the_work_was_done_is_looked_up(account, stub, kit, voices_folder, csv):
    """500 to a submission that was made all the same."""
    stub.before["CreateSubmission"] = lambda: stub._submitted(stub.calls[-1][1], "submission.csv")
    stub.fail["CreateSubmission"] = (500, "Internal error")
    code, out, _ = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 0 and "as 5000" in out and stub.count("CreateSubmission") == 1
    assert only_row()["ref"] == "5000"


def test_an_answer_without_a_ref_is_looked_up(account, stub, kit, voices_folder, csv):
    stub.before["CreateSubmission"] = lambda: stub._submitted(stub.calls[-1][1], "submission.csv")
    stub.answer["CreateSubmission"] = {"message": "Successfully submitted"}
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 0
    assert only_row()["ref"] == "5000" and stub.count("CreateSubmission") == 1


def test_doubt_is_told_and_the_next_try_settles_it(account, stub, kit, voices_folder, csv, monkeypatch):
    monkeypatch.setattr(sending, "SETTLE_SECONDS", 0.0)
    stub.fail["CreateSubmission"] = (500, "Internal error")
    code, _, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and "it may have arrived: the same command looks first" in error
    assert only_row()["status"] == "sending" and only_row()["ref"] == ""
    stub.fail.clear()
    assert kit("submit", csv, *TO, "--data", voices_folder)[0] == 0
    assert len(stub.submissions) == 1 and only_row()["status"] == "complete"


def test_an_answer_that_comes_too_late_is_found_at_the_next_try(account, stub, kit, voices_folder, csv, monkeypatch):
    """The request lies on its way until the next try waits for it."""
    on_its_way, limit_seconds = threading.Event(), 2.0
    stub.before["CreateSubmission"] = on_its_way.wait
    monkeypatch.setattr(commands, "Kaggle", lambda: Kaggle(limit_seconds))
    code, _, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and "no answer within 2 s; it may have arrived" in error
    assert only_row()["status"] == "sending" and stub.submissions == []

    arrived = threading.Event()
    stub.after["CreateSubmission"] = arrived.set

    def settle(seconds):
        on_its_way.set()
        assert seconds > 0 and arrived.wait(60)

    monkeypatch.setattr(sending, "time", SimpleNamespace(sleep=settle))
    monkeypatch.setattr(commands, "Kaggle", Kaggle)
    code, out, _ = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 0 and "not sent again" in out and len(stub.submissions) == 1


def test_no_slots_left(account, stub, kit, voices_folder, csv):
    stub.slots = 0
    stub.CreateSubmission({"submissionDescription": "by hand"})
    code, _, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and "no slots are left today" in error
    assert stub.count("StartSubmissionUpload") == 0 and only_row()["status"] == ""


def test_two_processes_do_not_send_at_once(account, stub, kit, voices_folder, csv):
    from filelock import FileLock

    with FileLock("submissions/.submit.lock"):
        code, _, error = kit("submit", csv, *TO, "--data", voices_folder)
    assert code == 1 and "another process is sending from it" in error and stub.submissions == []


def test_bad_input_is_one_clear_line(account, stub, kit, voices_folder, csv, monkeypatch):
    def told(*arguments):
        code, out, error = kit(*arguments)
        assert code == 1 and len(error.splitlines()) == 1, (out, error)
        return error

    wrong = account / "wrong.csv"
    wrong.write_text("Id,Category\nother.pt,id00001\n")
    assert "row 2, column Id: must be an id of the test set, got 'other.pt'" in told(
        "submit", wrong, *TO, "--data", voices_folder
    )
    assert "404: Competition not found; check the name" in told(
        "submit", csv, "--competition", "no-such", "--data", voices_folder
    )
    assert "--data must be the competition's folder" in told("submit", csv, *TO)
    assert "needs a file, or --kernel" in told("submit", *TO)
    assert "must have a row of kernel stub-user/x/1" in told("submit", "--kernel", "stub-user/x/1", *TO)
    assert "nothing was sent yet" in told("scores")
    assert "title must have 5 to 50" in told("push", NOTEBOOK, *TO, "--title", "kit")
    assert "parameter must be one of data, preset, seed, got 'sed'" in told("push", NOTEBOOK, *TO, "-p", "sed=1")
    assert "seed must be int, as 0 is, got 'one'" in told("push", NOTEBOOK, *TO, "-p", "seed=one")
    stub.fail["SaveKernel"] = (409, "The requested title is already in use by a kernel.")
    assert "409: The requested title is already in use" in told("push", NOTEBOOK, *TO)
    stub.states = ["ERROR"]
    assert "error: out of memory" in told("status", REF)
    assert stub.kernels == {} and stub.submissions == [] and only_row()["status"] == ""
    monkeypatch.delenv("KAGGLE_KEY")
    assert "not signed in" in told("submit", csv, *TO, "--data", voices_folder)
    assert "not signed in" in told("push", NOTEBOOK, *TO)


def test_a_push_with_a_refused_source_is_recorded_and_is_an_error(account, stub, kit):
    stub.answer["SaveKernel"] = {"versionNumber": 7, "invalidDatasetSources": ["ann/weights"]}
    code, _, error = kit("push", NOTEBOOK, *TO, "--dataset", "ann/weights")
    assert code == 1 and "version 7 runs without what Kaggle refused to attach: ann/weights" in error
    row = only_row()
    assert row["kernel"] == f"{REF}/7" and row["sha256"] == file_sha256(row["file"])


def test_a_dry_run_needs_no_account(nobody, kit):
    code, out, _ = kit("push", NOTEBOOK, *TO, "--dry-run")
    assert code == 0 and "not pushed: runs/kaggle/01-look-at-the-data-voices-challenge/notebook.ipynb" in out
    assert not (nobody / LEDGER).exists()
    assert re.search(r"^kit: \d+ files, sha256 [0-9a-f]{64}, in a cell of \d+ bytes$", out, re.MULTILINE)
    assert "kit/atomic.py" not in out and len(out.splitlines()) == 2


def test_waiting_outlasts_a_fault_but_not_a_no(account, stub, kit):
    stub.fail["GetKernelSessionStatus"] = (429, "Too many requests")
    stub.before["GetKernelSessionStatus"] = lambda: (
        stub.fail.clear() if stub.count("GetKernelSessionStatus") == 3 else None
    )
    code, out, _ = kit("status", REF, "--wait")
    assert code == 0 and out.count("… status of") == 2 and out.endswith("complete\n")
    stub.fail["GetKernelSessionStatus"] = (404, "Not found")
    assert kit("status", REF, "--wait")[0] == 1


def test_a_kernels_own_ledger_is_not_believed_blindly(account, stub, kit, csv):
    (account / "theirs").mkdir()
    row = {"run": "a/b", "name": "b", "sha256": file_sha256(csv)}
    for file, told in (("../../x.csv", "file must lie in"), ("x.csv", "must be there with the sha256")):
        add_row("theirs/ledger.csv", row | {"file": file})
        stub.outputs = {LEDGER: (account / "theirs/ledger.csv").read_bytes(), "x.csv": b"other"}
        code, _, error = kit("output", REF)
        assert code == 1 and told in error
        (account / "theirs/ledger.csv").unlink()
    assert len(read_ledger(LEDGER)) == 1


def test_pretrained_weights_are_sent_attached_and_found(account, stub, kit, monkeypatch):
    """And models of others are attached by their five parts."""
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0.01)
    tagged = nbformat.v4.new_code_cell('data = ""\nweights = ""', metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[tagged]), "Fine tune.ipynb")
    Path("tf_net.safetensors").write_bytes(b"net")
    model = "google/bird-net/pyTorch/b0/3"
    code, _, error = kit("push", "Fine tune.ipynb", *TO, "--weights", "tf_net.safetensors", "--model", model)
    assert code == 0, error
    sent = stub.kernels["stub-user/fine-tune-voices-challenge"]
    assert sent["datasetDataSources"] == ["stub-user/tf-net-weights"] and sent["modelDataSources"] == [model]
    assert b"net" in stub.datasets["stub-user/tf-net-weights"][0].values()
    sha256 = hashlib.sha256(stub.datasets["stub-user/tf-net-weights"][0]["sha256.json"]).hexdigest()
    given = json.loads(sent["text"])["cells"][1]["source"]
    assert given.endswith(f"weights = find_weights('{sha256}', 'stub-user/tf-net-weights')")
    code, _, error = kit("push", NOTEBOOK, *TO, "--weights", "tf_net.safetensors")
    assert code == 1 and "must have a parameter weights, which is told where they lie in the kernel" in error
    code, _, error = kit("push", NOTEBOOK, *TO, "--model", "google/bird-net")
    assert code == 1 and "model must be owner/model/framework/variation/version, the last a whole number" in error
    code, _, error = kit("push", "Fine tune.ipynb", *TO, "--weights", "none.pt")
    assert code == 1 and error == "kit push: none.pt: weights must be a file, or a folder with files, got neither\n"
    assert stub.count("CreateDataset") == stub.count("SaveKernel") == 1
