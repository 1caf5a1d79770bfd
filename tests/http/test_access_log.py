"""What a real server writes to its log, and the id every answer carries."""

import asyncio
import json
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.logs import TOGETHER_SECONDS, Lines
from tests.support.api import Work, announce, eventually, new_project, send
from tests.support.listen import stream
from tests.support.server import Server, running

BODY = b"canary in a coal mine"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose log nobody else writes to."""
    with running(tmp_path_factory.mktemp("log") / "var") as server:
        yield server


@pytest.fixture(scope="module")
def work(server: Server) -> Work:
    return new_project(server)


def lines(server: Server, wanted: str) -> list[str]:
    """The lines of the log with this in them, once there are any."""
    deadline = time.monotonic() + 2
    while True:
        found = [line for line in server.log.read_text().splitlines() if wanted in line]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def test_no_part_of_a_signed_link_or_a_ticket_is_in_the_log(work: Work) -> None:
    (upload,) = work.commit({"put": {"name": "model", "object": announce(BODY, filename="canary.bin")}})["uploads"]
    put_url = upload["parts"][0]["url"]
    assert send(upload, b"wrong").status_code == 400
    assert send(upload, BODY).status_code == 200
    work.mutate("completeUpload", upload=upload["id"])
    artifact = work.artifact("model")
    assert artifact
    get_url = artifact["object"]["download"]["url"]
    assert httpx.get(get_url, trust_env=False).content == BODY
    assert httpx.get(get_url + "0", headers={"x-request-id": "last-1"}, trust_env=False).status_code == 403
    assert lines(work.server, "last-1")  # a line is written when its answer is out already
    log = work.server.log.read_text()
    assert log.count(f'"path":"/objects/{work.name}/') == 4
    for url in (put_url, get_url):
        signature = re.findall(r"signature=(\w+)", url)[0]
        assert signature not in log
    assert "signature" not in log
    assert "expires" not in log
    assert "canary.bin" not in log
    assert upload["id"] not in log
    assert upload["id"].split(".")[1] not in log


def test_the_query_of_a_url_is_not_in_the_log(server: Server) -> None:
    server.client.get("/graphql", params={"query": "{ canary: __typename }"}, headers={"x-request-id": "query-1"})
    (line,) = lines(server, "query-1")
    assert json.loads(line)["message"] == "GET /graphql 200"
    assert "canary:" not in server.log.read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/nothing"),
        ("DELETE", "/livez"),
        ("GET", "/graphql"),
        ("PUT", "/graphql"),
        ("GET", "/objects/a/" + "0" * 64),
        ("GET", "/favicon.svg"),
    ],
)
def test_every_answer_carries_an_id_that_is_in_the_log_once(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, path)
    assert len(lines(server, answer.headers["x-request-id"])) == 1


def test_a_refused_host_and_a_stream_and_a_socket_carry_an_id_too(server: Server) -> None:
    assert server.client.get("/", headers={"host": "evil.example"}).headers["x-request-id"]
    with stream(server):
        pass
    with connect(f"ws{server.url.removeprefix('http')}/graphql", proxy=None) as socket:
        assert socket.response
        identifier = socket.response.headers["x-request-id"]
    (line,) = lines(server, identifier)
    assert "WEBSOCKET /graphql 101" in line


def test_a_socket_that_is_not_taken_is_logged_as_forbidden(server: Server) -> None:
    headers = {"origin": "http://evil.example", "x-request-id": "evil-socket"}
    address = f"ws{server.url.removeprefix('http')}/graphql"
    with pytest.raises(InvalidStatus), connect(address, proxy=None, additional_headers=headers):
        pass
    assert eventually(lambda: "WEBSOCKET /graphql 403" in "".join(lines(server, "evil-socket")))


def test_the_caller_s_own_id_is_kept_when_it_is_usable_and_replaced_when_it_is_not(server: Server) -> None:
    assert server.client.get("/livez", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for odd in ("a b", "x" * 65, "a\tb", "é", ""):
        given = {"x-request-id": odd.encode("latin-1")}
        answer = httpx.get(f"{server.url}/livez", headers=given, trust_env=False)  # type: ignore[arg-type]
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_path_cannot_write_a_line_of_its_own_into_the_log(server: Server) -> None:
    server.client.get("/x%0A2026-01-01 forged%1B[31m", headers={"x-request-id": "forged-1"})
    (line,) = lines(server, "forged-1")
    assert json.loads(line)["path"] == "/x%0A2026-01-01%20forged%1B[31m"


def test_a_fault_is_masked_with_the_request_s_id_and_logged_once_with_it(server: Server) -> None:
    work = new_project(server)
    first = work.put("one", type="m")
    work.put("two", type="m")
    damaged = work.repository / "objects" / first[:2] / first[2:]
    damaged.chmod(0o600)
    damaged.write_bytes(b"rubbish")
    asked = (
        "query($p: String!, $r: GitRevision!) { project(name: $p) { commit(at: $r) { changes { nodes { name } } } } }"
    )
    body = {"query": asked, "variables": {"p": work.name, "r": first}}
    answer = server.client.post("/graphql", json=body, headers={"x-request-id": "fault-1"})
    (error,) = answer.json()["errors"]
    assert error["message"] == "Something went wrong here; the request id is fault-1."
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "fault-1"}
    assert str(server.data_dir) not in answer.text
    faults = [line for line in lines(server, "fault-1") if "ERROR" in line]
    assert len(faults) == 1
    assert "failed unexpectedly" in faults[0]
    assert work.names() == ["one", "two"]
    assert Work(server, "demo").names() == ["classification-output", "topic-training-data"]


def test_a_fault_of_the_object_store_is_masked_as_well(server: Server) -> None:
    work = new_project(server)
    (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(BODY)])["uploads"]
    folder = server.data_dir / "objects" / work.name.replace("/", "+")
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where a folder belongs")
    try:
        answer = send(upload, BODY, **{"x-request-id": "fault-2"})
    finally:
        folder.unlink()
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "fault-2"}
    assert answer.headers["x-request-id"] == "fault-2"
    assert len([line for line in lines(server, "fault-2") if "ERROR" in line]) == 1
    assert send(upload, BODY).status_code == 200


class Full:
    """A place for lines that takes none the first time."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.failed = False

    def write(self, text: str) -> None:
        if not self.failed:
            self.failed = True
            raise OSError(28, "No space left on device")
        self.taken.append(text)

    def flush(self) -> None:
        pass


async def test_a_log_that_could_not_be_written_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    full, lines = Full(), Lines()
    monkeypatch.setattr("sys.stderr", full)
    for text in ("lost", "kept"):
        lines.add(text)
        await asyncio.sleep(2 * TOGETHER_SECONDS)
    assert [text.endswith("kept\n") for text in full.taken] == [True]
