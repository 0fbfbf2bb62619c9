"""Kaggle's own client, asked as a library: its answers hold the truth, its printed lines and exit codes do not.

It is imported where it is used, because its import signs in over the network. No request of it has a time limit; here
each has one.
"""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath

from kit.atomic import replacing

SECONDS = 120.0  # that one request may stay without an answer
PAGE = 100
SOURCES = ("dataset", "competition", "kernel", "model")
ADVICE = {
    401: "sign in anew: kaggle auth login",
    403: "accept the rules on the competition's page, or use an account that may",
    404: "check the name in its address",
    429: "wait a while",
}


class KaggleError(RuntimeError):
    """Something that was not done, in one line.

    `sure` is False where it may have been done all the same: no answer, or a fault of the server's. `passing` says
    that the same may go well later. `code` is HTTP's, where there is one.
    """

    def __init__(self, message: str, sure: bool = True, passing: bool = False, code: int | None = None):
        super().__init__(" ".join(message.split()))
        self.sure, self.passing, self.code = sure, passing or not sure, code


class KaggleFailure(RuntimeError):
    """Something that was done, and went wrong there: a kernel that failed, a submission without a score."""


@dataclass(frozen=True)
class Pushed:
    """What the server took: refused are data sources that it left out."""

    version: int
    url: str
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Submission:
    """status is pending, complete or error; a score that is not known is None."""

    ref: str
    message: str
    status: str
    public: float | None
    private: float | None
    error: str


class Kaggle:
    """A signed-in account. Every method raises KaggleError with one clear line."""

    def __init__(self, seconds: float = SECONDS):
        if find_spec("kaggle") is None:
            raise KaggleError("the kaggle package must be installed: pip install kaggle")
        self.seconds = seconds
        self.api = self.call(_new_api, task="signing in")
        self.call(self.api.authenticate, task="signing in")

    @property
    def username(self) -> str:
        return self.api.get_config_value(self.api.CONFIG_NAME_USER)

    def push(self, folder: Path) -> Pushed:
        """Send a kernel's folder. Raises KaggleError too where the answer is 200 and holds an error."""
        answer = self.call(self.api.kernels_push, str(folder), task="push")
        if answer.error or not answer.version_number:
            raise KaggleError(f"push: {answer.error or 'the answer names no version'}")
        refused = [source for origin in SOURCES for source in getattr(answer, f"invalid_{origin}_sources")]
        return Pushed(answer.version_number, answer.url, tuple(refused))

    def status(self, kernel: str) -> tuple[str, str]:
        """(queued, running, complete, error or cancel_…; why it failed) of the kernel's newest version."""
        answer = self.call(self.api.kernels_status, kernel, task=f"status of {kernel}")
        return answer.status.name.lower(), answer.failure_message or ""

    def output(self, kernel: str, folder: Path) -> list[Path]:
        """Download what the newest version left, and its log. A file that would lie elsewhere is refused."""
        owner, slug = kernel.split("/")
        files, log = self.call(self._output_files, owner, slug, task=f"output of {kernel}")
        for name in files:
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
                raise KaggleError(f"output of {kernel}: a file must lie in its folder, got {name!r}")
        for name, url in files.items():
            with replacing(folder / name) as beside:
                self.call(_download, url, beside, task=f"output of {kernel}, {name}")
        if log:
            with replacing(folder / f"{slug}.log") as beside:
                beside.write_text(_plain(log), encoding="utf-8")
        return [folder / name for name in files]

    def submissions(self, competition: str) -> list[Submission]:
        """All of the account's, the newest first."""
        return self.call(self._submissions, competition, task=f"submissions to {competition}")

    def slots(self, competition: str) -> int | None:
        """How many more may be sent today; None where the account has no team there yet, and Kaggle counts nothing."""
        limits = self.call(self.api.competition_get_submission_limits, competition, task=f"slots of {competition}")
        counted = limits.num_allowed_now or limits.num_today or limits.num_total or limits.limited_by_total
        return limits.num_allowed_now if counted else None

    def submit_file(self, path: Path, message: str, competition: str) -> str | None:
        """Send a CSV; its ref, None where the answer names none."""
        task = f"submit to {competition}"
        answer = self.call(self.api.competition_submit, str(path), message, competition, True, task=task)
        if answer.message == self.api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
            raise KaggleError(f"{task}: the upload failed, and nothing was submitted")
        return str(answer.ref) if answer.ref else None

    def submit_kernel(self, kernel: str, version: int, file: str, message: str, competition: str) -> str | None:
        """Hand in a kernel's version by the name of its output file; its ref, None where the answer names none."""
        send, task = self.api.competition_submit_code, f"submit to {competition}"
        answer = self.call(send, file, message, competition, kernel, version, True, task=task)
        return str(answer.ref) if answer.ref else None

    def _submissions(self, competition: str) -> list[Submission]:
        from kagglesdk.competitions.types.competition_api_service import ApiListSubmissionsRequest

        request, submissions = ApiListSubmissionsRequest(), []
        request.competition_name, request.page_size = competition, PAGE
        with self.api.build_kaggle_client() as client:
            while True:
                answer = client.competitions.competition_api_client.list_submissions(request)
                submissions += [_submission(entry) for entry in answer.submissions]
                if not answer.next_page_token:
                    return submissions
                request.page_token = answer.next_page_token

    def _output_files(self, owner: str, slug: str) -> tuple[dict[str, str], str]:
        from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

        request, files, log = ApiListKernelSessionOutputRequest(), {}, ""
        request.user_name, request.kernel_slug, request.page_size = owner, slug, PAGE
        with self.api.build_kaggle_client() as client:
            while True:
                answer = client.kernels.kernels_api_client.list_kernel_session_output(request)
                files |= {entry.file_name: entry.url for entry in answer.files}
                log = log or answer.log
                if not answer.next_page_token:
                    return files, log
                request.page_token = answer.next_page_token

    def call(self, function: Callable, *arguments, task: str):
        """The function's answer; what goes wrong in it as a KaggleError, its printing unheard."""
        import requests

        try:
            with _time_limit(self.seconds):
                return self._quietly(function, *arguments)
        except SystemExit:  # what the client does where it finds no account
            raise KaggleError(
                f"{task}: not signed in; make a token on kaggle.com under Settings, and run: kaggle auth login"
            ) from None
        except requests.HTTPError as error:
            code = error.response.status_code
            advice = f"; {ADVICE[code]}" if code in ADVICE else ""
            message = f"{task}: {code}: {self._scrubbed(error)}{advice}"
            raise KaggleError(message, sure=code < 500, passing=code == 429, code=code) from None
        except requests.Timeout:
            raise KaggleError(f"{task}: no answer within {self.seconds:g} s", sure=False) from None
        except requests.RequestException as error:
            raise KaggleError(f"{task}: Kaggle can not be reached ({type(error).__name__})", sure=False) from None
        except ValueError as error:
            raise KaggleError(f"{task}: {self._scrubbed(error)}") from None

    def _quietly(self, function: Callable, *arguments):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return function(*arguments)

    def _scrubbed(self, error: Exception) -> str:
        """The message without the account's key or token."""
        text = str(error)
        for name in (self.api.CONFIG_NAME_KEY, self.api.CONFIG_NAME_TOKEN):
            if secret := self.api.config_values.get(name):
                text = text.replace(secret, "***")
        return text


def _new_api():
    from kaggle.api.kaggle_api_extended import KaggleApi

    return KaggleApi()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Within the block no request of this thread waits longer; the client opens sessions of its own and sets no limit.

    Requests of other threads stay as they are, and afterwards all do.
    """
    from requests.adapters import HTTPAdapter

    send, thread = HTTPAdapter.send, threading.get_ident()

    def limited(self, request, stream=False, timeout=None, **options):
        if timeout is None and threading.get_ident() == thread:
            timeout = seconds
        return send(self, request, stream=stream, timeout=timeout, **options)

    HTTPAdapter.send = limited
    try:
        yield
    finally:
        HTTPAdapter.send = send


def _download(url: str, target: Path) -> None:
    import requests

    with requests.get(url, stream=True) as answer, target.open("wb") as file:
        answer.raise_for_status()
        for block in answer.iter_content(2**20):
            file.write(block)


def _submission(entry) -> Submission:
    public, private = (float(score) if score else None for score in (entry.public_score, entry.private_score))
    status = entry.status.name.lower()
    return Submission(str(entry.ref), entry.description or "", status, public, private, entry.error_description or "")


def _plain(log: str) -> str:
    """A kernel's log comes as JSON, an entry a line that it printed."""
    try:
        return "".join(entry["data"] for entry in json.loads(log))
    except (ValueError, TypeError, KeyError):
        return log
