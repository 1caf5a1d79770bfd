"""Events through everything that can become of a connection, against a server that is made to fail."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.remote import following, sse
from app.remote.client import Client, NoServerError, RemoteError, UnreachableError
from app.remote.following import follow
from app.remote.shapes import Happening

STREAM = "text/event-stream; charset=utf-8"
COMPLETE = b"event: complete\ndata: \n\n"


@dataclass(frozen=True)
class Answer:
    """What the server says to one subscription before it hangs up."""

    body: bytes
    status: int = 200
    content_type: str = STREAM


OVER = Answer(b'{"errors": [{"message": "The script is over."}]}', 422, "application/json")


@dataclass
class Script:
    """A server that gives its answers one after the other, then none; `after` are the cursors it was asked for."""

    url: str = ""
    after: list[str | None] = field(default_factory=list)


@contextmanager
def acting(*answers: Answer) -> Iterator[Script]:
    script, left = Script(), iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            script.after.append(asked["variables"]["after"])
            answer = next(left, OVER)
            self.send_response(answer.status)
            self.send_header("content-type", answer.content_type)
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


def message(content: Any) -> bytes:
    return b"event: next\ndata: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


def event(cursor: str, **members: Any) -> bytes:
    node = {
        "id": f"id of {cursor}",
        "kind": "BRANCH_CREATED",
        "projectName": "p",
        "branchName": "main",
        "commit": "c" * 40,
        "sequence": 0,
        "occurredAt": "2026-01-31T12:00:00Z",
        "actor": None,
        "previousHead": None,
    }
    return message({"data": {"events": {"cursor": cursor, "node": node | members}}})


def refusal(text: str, **extensions: str) -> bytes:
    return message({"errors": [{"message": text, "extensions": extensions}]})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.01)


def heard(script: Script, count: int, after: str | None = "start") -> list[Happening]:
    with Client(script.url, timeout=0.5) as client:
        return list(islice(follow(client, {}, after), count))


CUT = event("b")[:-9]


@pytest.mark.parametrize(
    "loss",
    [
        Answer(b""),
        Answer(COMPLETE),
        Answer(b":\n\n"),
        Answer(CUT),
        Answer(refusal("Too slow.", code="CURSOR_EXPIRED", cursor="a") + COMPLETE),
        Answer(b'{"errors": [{"message": "Stopping."}]}', 503, "application/graphql-response+json"),
        Answer(b"<html>", 502, "text/html"),
        Answer(b"", 504, "text/plain"),
    ],
)
def test_after_a_loss_events_go_on_behind_the_last_that_was_handled(loss: Answer) -> None:
    with acting(Answer(event("a")), loss, loss, Answer(event("b") + event("c"))) as script:
        assert [one.cursor for one in heard(script, 3)] == ["a", "b", "c"]
    assert script.after == ["start", "a", "a", "a"]


def test_a_connection_that_is_silent_for_too_long_is_lost() -> None:
    with acting(Answer(event("a")), Answer(event("b"))) as script, Client(script.url, timeout=0.2) as client:
        assert [one.cursor for one in islice(follow(client, {}, None), 2)] == ["a", "b"]


def test_a_loss_is_said_once_and_so_is_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    gone = Answer(b"", 503)
    with acting(Answer(event("a")), gone, gone, Answer(event("b"))) as script:
        heard(script, 2)
    lost, again = capsys.readouterr().err.splitlines()
    assert lost.endswith("ended the connection. Trying again until it is back.")
    assert again == "Connected again."


def test_attempts_are_ever_further_apart_and_begin_anew_after_each_success(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr("app.remote.following.time.sleep", pauses.append)
    monkeypatch.setattr("app.remote.following.random.uniform", lambda _, most: most)
    gone = [Answer(b"", 503)] * 7
    with acting(Answer(event("a")), *gone, Answer(event("b")), Answer(event("c"))) as script:
        heard(script, 3)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 0.5]


def test_who_was_never_connected_is_told_at_once() -> None:
    with acting(Answer(b"", 503)) as script, pytest.raises(UnreachableError, match="It answers HTTP 503"):
        heard(script, 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(refusal("No such cursor.", code="CURSOR_EXPIRED")), RemoteError),
        (Answer(b'{"errors": [{"message": "No such cursor."}]}', 422, "application/json"), RemoteError),
        (Answer(message({"data": {"events": 5}})), NoServerError),
        (Answer(b"event: next\ndata: {\n\n"), NoServerError),
        (Answer(b'{"data": {"events": {}}}', content_type="application/json"), NoServerError),
        (Answer(b"<html>", content_type="text/html"), NoServerError),
    ],
)
def test_what_trying_again_cannot_mend_ends_it(answer: Answer, error: type[RemoteError]) -> None:
    with acting(Answer(event("a")), answer) as script:
        with Client(script.url) as client:
            events = follow(client, {}, None)
            assert next(events).cursor == "a"
            with pytest.raises(error) as raised:
                next(events)
        assert not isinstance(raised.value, UnreachableError)


def test_a_kind_of_event_that_is_newer_than_the_program_is_an_event() -> None:
    with acting(Answer(event("a", kind="ARTIFACT_PRAISED"))) as script:
        assert heard(script, 1)[0].node.kind == "ARTIFACT_PRAISED"


@given(
    sent=st.lists(st.tuples(st.sampled_from(["next", "complete"]), st.text().map(json.dumps)), max_size=5),
    end=st.sampled_from([b"\n", b"\r\n"]),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
def test_messages_are_the_same_however_the_bytes_arrive(
    sent: list[tuple[str, str]], end: bytes, sizes: list[int]
) -> None:
    lines = [line for name, text in sent for line in (b":", b"event: " + name.encode(), b"data: " + text.encode(), b"")]
    content = b"".join(line + end for line in lines)
    chunks, place = [], 0
    while place < len(content):
        chunks.append(content[place : place + sizes[len(chunks) % len(sizes)]])
        place += len(chunks[-1])
    assert list(sse.messages(chunks)) == [(name, text.encode()) for name, text in sent]


def test_separators_of_lines_that_are_no_line_feeds_may_stand_in_a_value() -> None:
    name = "one\u2028two\u0085three"
    with acting(Answer(event("a", branchName=name))) as script:
        assert heard(script, 1)[0].node.branch_name == name
