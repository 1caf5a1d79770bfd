"""A Git server over HTTP: the stock `git http-backend` behind a small server that can also behave badly."""

import base64
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.git import PERSON, git

DECLINE = "#!/bin/sh\necho 'main is protected' >&2\necho 'ask Ada' >&2\nexit 1\n"


@dataclass
class Moods:
    """How the server behaves: `push` and `fetch` say what happens to the POST of such a request, once or until unset.

    `die-before` and `die-after` break off before and after the backend did its work; `500-after` answers that.
    """

    password: str | None = None
    protocols: str = ""
    slow: float = 0.0
    every: str = ""
    push: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sent_to: str = ""
    authorizations: list[str | None] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    before: Callable[[], object] | None = None
    listed: Callable[[], object] | None = None
    after: Callable[[], object] | None = None


class GitHttp:
    """Serves the bare repositories below `root`."""

    def __init__(self, root: Path, certificate: Path | None = None) -> None:
        self.root = root
        self.moods = Moods()
        self._stopped = False
        self._scheme = "https" if certificate else "http"
        self._server = _Server(("127.0.0.1", 0), self)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def base(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        return f"{self.base}/{name}.git"

    @property
    def listed(self) -> Path:
        """A credentials file that names this host, which wants no password."""
        return listing(self.base, self.root.parent)

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._server.ended.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def requests(self) -> list[str]:
        """What was asked for since the last call, as method and path."""
        seen, self.moods.requests = self.moods.requests, []
        return seen


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: GitHttp) -> None:
        self.owner = owner
        self.open: set[Any] = set()
        self.ended = threading.Event()
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients and moods break off; that is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)
        self.server.owner.moods.connections += 1

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing: a test's output is its own."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _serve(self, body: bytes) -> None:
        moods = self.server.owner.moods
        moods.requests.append(f"{self.command} {self.path}")
        moods.authorizations.append(self.headers.get("Authorization"))
        time.sleep(moods.slow)
        if moods.sent_to:
            self._answer(302, {"Location": moods.sent_to + self.path}, b"")
            return
        if moods.password is not None and not self._known(moods.password):
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"who are you?")
            return
        pushes = self.command == "POST" and self.path.endswith("/git-receive-pack")
        if pushes and moods.before is not None:
            before, moods.before = moods.before, None
            before()
        mood = moods.push.pop(0) if pushes and moods.push else moods.every
        if mood == "late":
            self._later(body)
        if mood in {"late", "die-before"}:
            self._done()
            self._die()
            return
        if self._misbehave(mood):
            return
        status, headers, content = self._backend(body)
        self._done()
        if mood == "die-after":
            self._die()
        elif mood == "die-within":
            self.send_response(status)
            self.send_header("Content-Type", headers["Content-Type"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._die()
        elif mood == "500-after":
            self._answer(500, {}, b"oh no")
        else:
            self._answer(status, headers, content)

    def _later(self, body: bytes) -> None:
        """Have a push arrive when the look for it has begun and is done, and before it is sent again."""
        moods = self.server.owner.moods
        moods.before = lambda: self._backend(body)

    def _done(self) -> None:
        """What others do once a push is at work, or a list of refs is made, before anybody is answered."""
        moods = self.server.owner.moods
        if moods.after is not None and self.path.endswith("/git-receive-pack"):
            after, moods.after = moods.after, None
            after()
        if moods.listed is not None and self.path.endswith("/git-upload-pack"):
            listed, moods.listed = moods.listed, None
            listed()

    def _misbehave(self, mood: str) -> bool:
        if mood.isdigit():
            self._answer(int(mood), {}, b"no")
        elif mood == "garbage":
            kind = self.path.rpartition("/")[2].partition("service=")
            name = f"{kind[2]}-advertisement" if kind[2] else f"{kind[0]}-result"
            self._answer(200, {"Content-Type": f"application/x-{name}"}, b"\xff\x00 what you never wanted" * 99)
        elif mood == "login":
            self._answer(200, {"Content-Type": "text/html"}, b"<html>Sign in")
        elif mood == "trickle":
            self._trickle(f"application/x-{self.path.rpartition('/')[2]}-result")
        elif mood == "silent":
            self.server.ended.wait()
        else:
            return False
        return True

    def _trickle(self, content_type: str) -> None:
        """A byte now and then."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.server.ended.wait(0.02):
            self.wfile.write(b"1\r\nf\r\n")
            self.wfile.flush()

    def _known(self, password: str) -> bool:
        expected = "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()
        return self.headers.get("Authorization") == expected

    def _backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path, _, query = self.path.partition("?")
        version = self.headers.get("Git-Protocol", "")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                **os.environ,
                **PERSON,
                "GIT_PROJECT_ROOT": str(self.server.owner.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": version if self.server.owner.moods.protocols != "0" else "",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_USER": "ada",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n") if line]
        headers = {name: value for name, _, value in lines}
        return int(headers.pop("Status", "200").split()[0]), headers, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.owner.moods.sent += len(content)

    def _die(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)


def listing(url: str, folder: Path) -> Path:
    """A credentials file that names the host of a URL, which wants no password."""
    parts = urlsplit(url)
    file = folder / f"{parts.scheme}-{parts.port}"
    file.write_text(f"{parts.scheme}://{parts.netloc}\n")
    return file


@contextmanager
def serving(root: Path, certificate: Path | None = None) -> Iterator[GitHttp]:
    """A server on a free port, stopped with the block; over TLS with a certificate and its key in one file."""
    server = GitHttp(root, certificate)
    try:
        yield server
    finally:
        server.stop()


def bare(root: Path, name: str) -> Path:
    """An empty bare repository that may be pushed to, whose HEAD names main."""
    path = root / f"{name}.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", path)
    git("config", "http.receivepack", "true", at=path)
    return path


def decline(repository: Path) -> None:
    """Have the repository refuse every push, in two lines."""
    hook = repository / "hooks/pre-receive"
    hook.write_text(DECLINE)
    hook.chmod(0o755)
