"""Kaggle, as far as the kit asks it, on a free port of this machine: JSON by POST to /v1/<service>/<method>."""

import json
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

USER = "stub-user"
COMPETITION = "voices-challenge"
DATE = "2026-11-01T12:00:00.000000Z"


class Stub:
    """Answers like kaggle.com, remembers what it was sent, and fails as it is told.

    fail[method] = (HTTP code, message); answer[method] = JSON in place of the usual; delay[method] = seconds;
    before[method] and after[method] are called around the work that a request does.
    """

    def __init__(self):
        self.calls: list[tuple[str, dict]] = []
        self.kernels: dict[str, dict] = {}  # owner/name -> the newest push, with its versionNumber
        self.submissions: list[dict] = []  # the newest first
        self.uploads: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}  # what the kernel left, by file name
        self.states = ["COMPLETE"]  # of the kernel, one a question; the last stays
        self.blobs: dict[str, str] = {}  # the token of a file's upload -> its name
        self.datasets: dict[str, list[dict[str, bytes]]] = {}  # owner/name -> the files of each version, by name
        self.dataset_states = ["READY"]  # as states
        self.models: dict[str, dict[str, list[dict[str, bytes]]]] = {}  # owner/name -> variation -> as datasets
        self.slots, self.page = 5, 100
        self.scores: tuple[str, str] | None = ("0.71234", "")  # None: not scored yet
        self.fail: dict[str, tuple[int, str]] = {}
        self.answer: dict[str, dict] = {}
        self.delay: dict[str, float] = {}
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def count(self, method: str) -> int:
        return [name for name, _ in self.calls].count(method)

    def respond(self, method: str, request: dict) -> tuple[int, dict]:
        self.calls.append((method, request))
        self.before.get(method, lambda: None)()
        time.sleep(self.delay.get(method, 0))
        if method in self.fail:
            code, message = self.fail[method]
            return code, {"code": code, "message": message}
        if request.get("competitionName", COMPETITION) != COMPETITION:
            return 404, {"code": 404, "message": "Competition not found"}
        answer = self.answer[method] if method in self.answer else getattr(self, method)(request)
        if answer is None:
            return 404, {"code": 404, "message": "Not found"}
        self.after.get(method, lambda: None)()
        return 200, answer

    def IntrospectToken(self, request):
        return {"active": request["token"] == "good", "username": USER}

    def SaveKernel(self, request):
        name = request["slug"]
        version = self.kernels.get(name, {"versionNumber": 0})["versionNumber"] + 1
        self.kernels[name] = {**request, "versionNumber": version}
        return {"ref": f"/code/{name}", "url": f"https://www.kaggle.com/code/{name}", "versionNumber": version}

    def GetKernelSessionStatus(self, request):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"status": state, **({"failureMessage": "out of memory"} if state == "ERROR" else {})}

    def ListKernelSessionOutput(self, request):
        names, start = sorted(self.outputs), int(request.get("pageToken") or 0)
        shown, end = names[start : start + self.page], start + self.page
        files = [{"url": f"{self.url}/files/{number}", "fileName": name} for number, name in enumerate(shown, start)]
        log = json.dumps([{"stream_name": "stdout", "time": 0.5, "data": "hello\n"}])
        return {"files": files, "log": log, **({"nextPageToken": str(end)} if end < len(names) else {})}

    def StartBlobUpload(self, request):
        token = f"blob-{len(self.calls)}"
        self.blobs[token] = request["name"]
        return {"token": token, "createUrl": f"{self.url}/upload/{token}"}

    def _files(self, request):
        return {self.blobs[file["token"]]: self.uploads[file["token"]] for file in request["files"]}

    def GetDatasetStatus(self, request):
        if f"{request['ownerSlug']}/{request['datasetSlug']}" not in self.datasets:
            return None
        return {"status": self.dataset_states.pop(0) if len(self.dataset_states) > 1 else self.dataset_states[0]}

    def CreateDataset(self, request):
        assert request["isPrivate"]
        name = f"{request['ownerSlug']}/{request['slug']}"
        self.datasets[name] = [self._files(request)]
        return {"status": "ok", "ref": f"/{name}", "url": f"https://www.kaggle.com/datasets/{name}"}

    def CreateDatasetVersion(self, request):
        name = f"{request['ownerSlug']}/{request['datasetSlug']}"
        self.datasets[name].append(self._files(request["body"]))
        return {"status": "ok", "ref": f"/{name}", "url": f"https://www.kaggle.com/datasets/{name}"}

    def GetModel(self, request):
        return {"id": 1} if f"{request['ownerSlug']}/{request['modelSlug']}" in self.models else None

    def CreateModel(self, request):
        assert request["isPrivate"]
        self.models[f"{request['ownerSlug']}/{request['slug']}"] = {}
        return {"id": 1}

    def _variations(self, request):
        return self.models[f"{request['ownerSlug']}/{request['modelSlug']}"]

    def GetModelInstance(self, request):
        name = f"{request['ownerSlug']}/{request['modelSlug']}"
        versions = self.models.get(name, {}).get(f"{request['framework']}/{request['instanceSlug']}")
        return {"id": 2, "versionNumber": len(versions)} if versions else None

    def CreateModelInstance(self, request):
        body = request["body"]
        self._variations(request)[f"{body['framework']}/{body['instanceSlug']}"] = [self._files(body)]
        return {"id": 2}

    def CreateModelInstanceVersion(self, request):
        variation = f"{request['framework']}/{request['instanceSlug']}"
        self._variations(request)[variation].append(self._files(request["body"]))
        return {"id": 2}

    def StartSubmissionUpload(self, request):
        return {"token": f"blob-{len(self.calls)}", "createUrl": f"{self.url}/upload/blob-{len(self.calls)}"}

    def CreateSubmission(self, request):
        return self._submitted(request, "submission.csv")

    def CreateCodeSubmission(self, request):
        return self._submitted(request, request["fileName"])

    def _submitted(self, request, name):
        found = {"ref": 5000 + len(self.submissions), "fileName": name, "date": DATE, "status": "PENDING"}
        found |= {"description": request["submissionDescription"], "publicScore": "", "privateScore": ""}
        self.submissions.insert(0, found)
        return {"message": "Successfully submitted", "ref": found["ref"]}

    def ListSubmissions(self, request):
        for found in self.submissions:
            if self.scores and found["status"] == "PENDING":
                found |= {"status": "COMPLETE", "publicScore": self.scores[0], "privateScore": self.scores[1]}
        start = int(request.get("pageToken") or 0)
        end = start + self.page
        more = {"nextPageToken": str(end)} if end < len(self.submissions) else {}
        return {"submissions": self.submissions[start:end], **more}

    def GetSubmissionLimits(self, request):
        sent = len(self.submissions)
        return {"numToday": sent, "numTotal": sent, "numAllowedNow": max(0, self.slots - sent)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # whoever asked was killed
            super().handle_error(request, client_address)


def _handler(stub: Stub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *message):
            pass

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            code, answer = stub.respond(urlsplit(self.path).path.rpartition("/")[2], json.loads(content))
            self._send(code, json.dumps(answer).encode(), "application/json")

        def do_PUT(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            stub.calls.append(("PUT", {}))
            stub.before.get("PUT", lambda: None)()
            code, _ = stub.fail.get("PUT", (200, ""))
            if code == 200:
                stub.uploads[urlsplit(self.path).path.rpartition("/")[2]] = content
            stub.after.get("PUT", lambda: None)()
            self._send(code, b"{}", "application/json")

        def do_GET(self):
            number = int(urlsplit(self.path).path.rpartition("/")[2])
            self._send(200, stub.outputs[sorted(stub.outputs)[number]], "application/octet-stream")

        def _send(self, code, content, kind):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
