"""Sent once, whatever happens: the ledger says what is about to be sent, before it is, and Kaggle is asked before that.

Every message bears a tag made of the file's sha256. A submission whose answer was lost, to a kill or a network, is
found by it at the next try, and is not sent again.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kit.kaggle.client import Kaggle, KaggleError, Submission
from kit.kaggle.secrets import refuse_secrets
from kit.results.ledger import change_rows, read_ledger

SENDING = "sending"  # about to be sent, or on its way: nobody knows yet whether it arrived
SETTLE_SECONDS = 30.0  # after which a request whose sender was killed has arrived or never will
TIME = "%Y-%m-%dT%H:%M:%SZ"


def message_of(row: Mapping[str, Any]) -> str:
    """What Kaggle's list of submissions shows: run, tag, CV."""
    cv = row["cv"]
    score = f" CV {cv:.4f}" if cv == cv else ""
    return f"{tag_of(row['run'], row['sha256'])}{score}"


def tag_of(run: str, sha256: str) -> str:
    return f"[kit {'_'.join(run.split())} {sha256[:12]}]"


def send_once(
    kaggle: Kaggle, competition: str, row: Mapping[str, object], send: Callable[[str], str | None], ledger: Path
) -> tuple[Submission, bool]:
    """The row's submission, and whether it was sent now (False: it was found to be there already).

    `send` gets the message and gives the ref. Raises ValueError for a duplicate, KaggleError.
    """
    message = message_of(row)
    refuse_secrets({"the message": message})
    try:
        with FileLock(ledger.with_name(".submit.lock"), timeout=1):
            return _send_once(kaggle, competition, row, lambda: send(message), ledger)
    except Timeout:
        raise ValueError(f"{ledger}: another process is sending from it; wait for it to end") from None


def mark(ledger: Path, row: Mapping[str, object], **fields: object) -> None:
    """Set fields of the row, told by its run and sha256."""
    key = (row["run"], row["sha256"])
    change_rows(ledger, lambda other: fields if (other["run"], other["sha256"]) == key else {})


def found_by_tag(submissions: list[Submission], sha256: str) -> Submission | None:
    return next((one for one in submissions if f" {sha256[:12]}]" in one.message), None)


def facts_of(submission: Submission) -> dict[str, object]:
    """What the ledger keeps of it; a score that is not known yet leaves the ledger's as it is."""
    scores = {"public": submission.public, "private": submission.private}
    known = {name: score for name, score in scores.items() if score is not None}
    return {"ref": submission.ref, "status": submission.status, **known}


def _send_once(kaggle, competition, row, send, ledger):
    rows = read_ledger(ledger)
    same = rows[(rows["sha256"] == row["sha256"]) & (rows["sent_to"] == competition)]
    if len(sent := same[same["ref"] != ""]):
        ref, when = sent[["ref", "sent_utc"]].iloc[0]
        raise ValueError(f"{row['file']}: was sent to {competition} at {when} as {ref}; each must be sent once")
    for when in same[same["status"] == SENDING]["sent_utc"]:
        _settle(when)
    if there := found_by_tag(kaggle.submissions(competition), row["sha256"]):
        mark(ledger, row, sent_to=competition, **facts_of(there))
        return there, False
    if kaggle.slots(competition) == 0:
        raise KaggleError(f"submit to {competition}: no slots are left today; they come back at midnight UTC")
    mark(ledger, row, sent_to=competition, sent_utc=datetime.now(UTC).strftime(TIME), status=SENDING)
    return _sent(kaggle, competition, row, send, ledger), True


def _sent(kaggle, competition, row, send, ledger) -> Submission:
    """Send, and write down what came of it. A sure no takes the intent back; else it stays, to be looked up."""
    try:
        ref = send()
    except KaggleError as error:
        if error.sure:
            mark(ledger, row, sent_to=None, sent_utc=None, status=None)
            raise
        doubt = error
    else:
        doubt = KaggleError(f"submit to {competition}: the answer names no ref", sure=False)
        if ref:
            sent = Submission(ref, "", "pending", None, None, "")
            mark(ledger, row, **facts_of(sent))
            return sent
    if there := found_by_tag(kaggle.submissions(competition), row["sha256"]):
        mark(ledger, row, **facts_of(there))
        return there
    raise KaggleError(f"{doubt}; it may have arrived: the same command looks first, and sends it if not", sure=False)


def _settle(sent_utc: str) -> None:
    sent = datetime.strptime(sent_utc, TIME).replace(tzinfo=UTC)
    time.sleep(max(0.0, min(SETTLE_SECONDS, SETTLE_SECONDS - (datetime.now(UTC) - sent).total_seconds())))
