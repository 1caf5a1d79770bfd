"""A way to SQS on which things go wrong: entries are refused, requests fail, and answers are lost after the fact."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

REFUSED = 0.2
FAILED = 0.03
LOST = 0.05


class Moody:
    """Stands before a server of queues. `accepted` says how often the queue took an entry of that id."""

    def __init__(self, endpoint: str, seed: int) -> None:
        self.accepted: Counter[str] = Counter()
        self.refused = self.failed = self.lost = 0
        self.calm = False
        self._behind = urlsplit(endpoint).netloc
        self._dice = random.Random(seed)  # noqa: S311 - moods, not secrets
        self._turn = Lock()

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Status and body for a request; None to hang up."""
        with self._turn:
            if not target.endswith(".SendMessageBatch") or self.calm:
                return self._send(target, headers, json.loads(body), [])
            if self._dice.random() < FAILED:
                self.failed += 1
                return 500, b'{"__type": "com.amazonaws.sqs#InternalFailure", "message": "moody"}'
            asked = json.loads(body)
            refused = [one["Id"] for one in asked["Entries"] if self._dice.random() < REFUSED]
            answer = self._send(target, headers, asked, refused)
            if self._dice.random() < LOST:
                self.lost += 1
                return None
            return answer

    def _send(
        self, target: str, headers: dict[str, str], asked: dict[str, Any], refused: list[str]
    ) -> tuple[int, bytes]:
        """Pass a request on without the refused entries, and add those to the answer."""
        entries = asked.get("Entries", [])
        taken = [one for one in entries if one["Id"] not in refused]
        self.refused += len(refused)
        if entries and not taken:
            return 200, json.dumps({"Successful": [], "Failed": [*map(_failed, refused)]}).encode()
        passed = {**asked, "Entries": taken} if entries else asked
        status, body = self._pass_on(headers, json.dumps(passed).encode())
        if status != 200 or not target.endswith(".SendMessageBatch"):
            return status, body
        self.accepted.update(one["Id"] for one in taken)
        answer = json.loads(body)
        answer["Failed"] = [*answer.get("Failed", []), *map(_failed, refused)]
        return status, json.dumps(answer).encode()

    def _pass_on(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = HTTPConnection(self._behind, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _failed(name: str) -> dict[str, Any]:
    return {"Id": name, "SenderFault": False, "Code": "InternalError", "Message": "moody"}


@contextmanager
def moody(endpoint: str, seed: int) -> Iterator[tuple[Moody, str]]:
    """The moody way to an endpoint, and its own address."""
    way = Moody(endpoint, seed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # an answer is one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            passed = {
                k: v for k, v in self.headers.items() if k.lower().startswith(("x-amz", "authoriz", "content-ty"))
            }
            answer = way.answer(self.headers.get("x-amz-target", ""), passed, body)
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the server at the other end was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A killed client is no error here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield way, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
