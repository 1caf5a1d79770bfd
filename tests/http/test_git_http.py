"""Git's protocol as requests: what is refused before git is asked, and pushes that no client would send."""

import asyncio
import gzip
import http.client
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from dulwich.objects import Blob, Commit, ObjectID, Tree
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from app.http import git as edge
from app.http import intake
from app.http.errors import Refusal
from app.http.pktline import FLUSH, NO_OBJECT, banded, packet, read_push
from app.registry.access.sign_in import SignIn
from app.registry.model import Actor, Project
from app.registry.registry import Registry, Stores
from app.stores.cache.memory import MemoryCache
from app.stores.git import serving
from app.stores.git.disk import packed_bytes
from app.stores.git.hosted import HostedGit
from app.stores.git.memory import MemoryGit
from app.stores.git.serving import StockService
from app.stores.objects.local import LocalObjects
from app.stores.ports import NewCommit, Signature
from tests.support.api import Work
from tests.support.server import Server

GIT = shutil.which("git")
pytestmark = pytest.mark.skipif(GIT is None, reason="there is no git on the PATH")

PUSH = {"content-type": "application/x-git-receive-pack-request"}
FETCH = {"content-type": "application/x-git-upload-pack-request"}


def commit_of(work: Work, *, tree: ObjectID | None = None) -> tuple[Commit, list[Commit | Tree | Blob]]:
    """A commit on top of `main`, and all that is new with it; of another `tree` when one is named."""
    blob, files = Blob.from_string(b"a:\n  type: m\n"), Tree()
    files.add(b"artifacts.yml", 0o100644, blob.id)
    made = Commit()
    made.tree = tree or files.id
    made.parents = [ObjectID(work.head().encode())]
    made.author = made.committer = b"Grace <grace@example.org>"
    made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
    made.message = b"By hand\n"
    return made, [made, files, blob]


def body(old: str, new: str, pack: bytes, ref: str = "refs/heads/main") -> bytes:
    """What a client sends to move one ref."""
    return packet(f"{old} {new} {ref}\0report-status side-band-64k agent=test\n".encode()) + FLUSH + pack


def push(work: Work, content: bytes, **headers: str) -> httpx.Response:
    address = f"/git/{work.name}/git-receive-pack"
    return work.server.client.post(address, content=content, headers={**PUSH, **headers})


@pytest.mark.parametrize(
    "path",
    [
        "/git/%2e%2e/catalog/info/refs",
        "/git/demo/%2e%2e/%2e%2e/catalog/info/refs",
        "/git/..%2fcatalog/info/refs",
        "/git//etc/info/refs",
        "/git/%00/info/refs",
        "/git/demo.git.git/info/refs",
        "/git/catalog/info/refs",
        "/git/.creating/info/refs",
    ],
)
def test_no_name_leads_out_of_the_projects(shared_server: Server, path: str) -> None:
    address = urlsplit(shared_server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.request("GET", f"{path}?service=git-upload-pack")  # as it is, where others would tidy it up
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"catalog.git" not in answer.read()
    connection.close()


def test_what_is_no_request_of_a_git_client_is_refused_with_a_line_of_text(work: Work) -> None:
    client, root = work.server.client, f"/git/{work.name}"
    answers = {
        client.get(f"{root}/info/refs"): 403,
        client.get(f"{root}/HEAD"): 404,
        client.get(f"{root}/git-upload-pack"): 405,
        client.post(f"{root}/info/refs"): 405,
        client.post(f"{root}/git-upload-pack", content=b"0000"): 415,
        client.post(f"{root}/git-receive-pack", content=b"0000", headers=FETCH): 415,
        push(work, b"zzzz"): 400,
        push(work, b"0009hello"): 400,
        push(work, body("x" * 40, "y" * 40, b"")): 400,
        push(work, b"", **{"content-encoding": "br"}): 415,
        push(work, b"no gzip", **{"content-encoding": "gzip"}): 400,
        push(work, gzip.compress(b"0000" * 99)[:-9], **{"content-encoding": "gzip"}): 400,
        client.get(f"{root}/info/refs?service=git-upload-pack", headers={"origin": "http://evil.example"}): 403,
    }
    assert {answer.status_code: answer.text for answer, status in answers.items() if answer.status_code != status} == {}
    plain = [answer for answer in answers if "origin" not in answer.request.headers]
    assert {answer.headers["content-type"] for answer in plain} == {"text/plain; charset=utf-8"}


def test_a_request_that_moves_nothing_is_answered_with_nothing(work: Work) -> None:
    answer = push(work, FLUSH)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_push_may_come_packed_and_in_chunks(work: Work) -> None:
    made, new = commit_of(work)
    content = gzip.compress(body(work.head(), made.id.decode(), packed_bytes(new)[0]))

    def portions() -> Iterator[bytes]:
        yield from (content[at : at + 7] for at in range(0, len(content), 7))

    address = f"/git/{work.name}/git-receive-pack"
    answer = work.server.client.post(address, content=portions(), headers={**PUSH, "content-encoding": "gzip"})
    assert b"unpack ok" in answer.content
    assert work.head() == made.id.decode()
    assert work.names() == ["a"]


def test_a_fetch_may_come_packed(work: Work) -> None:
    head = work.put("a", type="m")
    wanted = packet(b"command=fetch") + b"0001" + packet(f"want {head}\n".encode()) + packet(b"done\n") + FLUSH
    headers = {**FETCH, "git-protocol": "version=2", "content-encoding": "gzip"}
    address = f"/git/{work.name}/git-upload-pack"
    answer = work.server.client.post(address, content=gzip.compress(wanted), headers=headers)
    assert answer.headers["content-type"] == "application/x-git-upload-pack-result"
    assert b"PACK" in answer.content


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda pack: pack[:-25], "cannot be kept"),
        (lambda pack: pack[:40], "cannot be kept"),
        (lambda pack: pack[:40] + bytes([pack[40] ^ 255]) + pack[41:], "cannot be kept"),
        (lambda _: b"", "not whole"),
        (lambda _: b"PACK", "cannot be kept"),
        (lambda _: b"\xff" * 100_000, "cannot be kept"),
    ],
)
def test_a_damaged_pack_is_refused_and_leaves_nothing(work: Work, harm: object, said: str) -> None:
    before, files = work.head(), stored(work)
    made, new = commit_of(work)
    assert callable(harm)
    answer = push(work, body(before, made.id.decode(), harm(packed_bytes(new)[0])))
    assert answer.status_code == 200
    assert said in answer.text
    assert "ng refs/heads/main" in answer.text
    assert (work.head(), stored(work)) == (before, files)


def test_a_pack_that_lacks_what_its_commit_needs_is_refused(work: Work) -> None:
    before, files = work.head(), stored(work)
    made, _ = commit_of(work, tree=ObjectID(b"1" * 40))
    answer = push(work, body(before, made.id.decode(), packed_bytes([made])[0]))
    assert "ng refs/heads/main" in answer.text
    assert (work.head(), stored(work)) == (before, files)


def test_a_branch_that_moved_meanwhile_is_left_where_it_is(work: Work) -> None:
    made, new = commit_of(work)
    stale, head = work.head(), work.put("b", type="m")
    answer = push(work, body(stale, made.id.decode(), packed_bytes(new)[0]))
    assert "ng refs/heads/main fetch first" in answer.text
    assert work.head() == head
    assert not (work.repository / "objects" / made.id.decode()[:2] / made.id.decode()[2:]).exists()


@pytest.mark.parametrize(
    "ref",
    ["refs/heads/../../evil", "refs/tags/../evil", "refs/heads/a.lock", "refs/heads/", "HEAD", "refs/heads/\udcff"],
)
def test_no_ref_is_made_that_git_would_not_make(work: Work, ref: str) -> None:
    made, new = commit_of(work)
    files = {path for path in work.repository.rglob("*") if path.is_file()}
    command = f"{NO_OBJECT} {made.id.decode()} {ref}\0report-status\n".encode("utf-8", "surrogateescape")
    answer = push(work, packet(command) + FLUSH + packed_bytes(new)[0])
    assert b"ng " + ref.encode("utf-8", "surrogateescape") + b" " in answer.content
    assert {path for path in work.repository.rglob("*") if path.is_file()} - files <= {
        work.repository / "registry/lock"
    }


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main",
        "refs/heads/./main",
        "refs/heads//main",
        "refs/heads/../heads/main",
        "refs/tags/../heads/main",
        "refs/heads/../../HEAD",
        "refs/heads/../../../../../catalog.git/HEAD",
        "refs/heads/HEAD",
        "HEAD",
    ],
)
def test_no_name_of_a_ref_to_delete_leads_to_another_file(work: Work, ref: str) -> None:
    catalogue = work.server.data_dir / "catalog.git"
    files = {path for folder in (work.repository, catalogue) for path in folder.rglob("*") if path.is_file()}
    answer = push(work, body(work.head(), NO_OBJECT, b"", ref))
    assert f"ng {ref} " in answer.text
    assert {path for path in files if not path.is_file()} == set()
    assert work.put("still", type="m") == work.head()


def test_a_client_that_waits_to_be_told_to_go_on_is_told(work: Work) -> None:
    made, new = commit_of(work)
    content = body(work.head(), made.id.decode(), packed_bytes(new)[0])
    with dawdling(work, len(content), "Expect: 100-continue\r\n") as peer:
        assert peer.recv(4096).startswith(b"HTTP/1.1 100")
        peer.sendall(content)
        assert peer.recv(4096).startswith(b"HTTP/1.1 200")
    assert work.head() == made.id.decode()


def test_a_client_that_dawdles_holds_up_nobody_and_leaves_nothing(work: Work) -> None:
    made, new = commit_of(work)
    content, files = body(work.head(), made.id.decode(), packed_bytes(new)[0]), stored(work)
    with dawdling(work, len(content)) as peer:
        peer.sendall(content[:-10])
        assert stored(work) == files
        assert work.put("b", type="m") == work.head()
    assert work.names() == ["b"]


@contextmanager
def dawdling(work: Work, length: int, headers: str = "") -> Iterator[socket.socket]:
    """A push that has begun, of which nothing but the head was sent."""
    address = urlsplit(work.server.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), 10) as peer:
        head = f"POST /git/{work.name}/git-receive-pack HTTP/1.1\r\nHost: {address.netloc}\r\n{headers}"
        head += f"Content-Type: {PUSH['content-type']}\r\nContent-Length: {length}\r\n\r\n"
        peer.sendall(head.encode())
        yield peer


def stored(work: Work) -> set[str]:
    return {str(path) for path in (work.repository / "objects").rglob("*")}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Registry]]:
    """The endpoint in this process, so that its limits can be made small, with a project `p`."""
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    git, memory = HostedGit(tmp_path), MemoryGit()
    memory.create("catalog", "main", NewCommit({}, "Begin", who, who))
    service = StockService(tmp_path, str(GIT))
    objects = LocalObjects(tmp_path / "objects", "http://t", b"s" * 32)
    stores = Stores(git, memory.repository("catalog"), MemoryCache(), objects, service=service)
    registry = Registry(stores, b"s" * 32, max_changes=100, max_size=2**40)
    await registry.create_project(Project("p"), "main", Actor("Ada", "ada@example.org"))
    app = Starlette(routes=edge.git_routes(service))
    app.state.registry = registry
    app.state.sign_in = SignIn(registry.access, Actor("Ada", "ada@example.org"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        yield client, registry
    await registry.close()


async def test_a_push_that_is_too_large_is_heard_out_and_refused(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = desk
    monkeypatch.setattr(edge, "MOST_PUSHED", 10_000)
    content = body(NO_OBJECT, "1" * 40, b"PACK" + bytes(15_000), "refs/heads/big")
    answer = await client.post("/git/p/git-receive-pack", content=content, headers=PUSH)
    assert answer.status_code == 200
    assert "unpack At most 0 MiB are taken at once" in answer.text
    endless = await client.post("/git/p/git-receive-pack", content=content + bytes(10_000), headers=PUSH)
    assert endless.status_code == 413


async def test_a_small_body_that_unpacks_to_much_is_refused(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = desk
    monkeypatch.setattr(edge, "MOST_ASKED", 10_000)
    bomb = gzip.compress(bytes(5_000_000))
    headers = {**FETCH, "content-encoding": "gzip"}
    answer = await client.post("/git/p/git-upload-pack", content=bomb, headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("portion", [b"", b"0"])
async def test_a_client_that_sends_next_to_nothing_more_is_hung_up_on(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch, portion: bytes
) -> None:
    client, _ = desk
    monkeypatch.setattr(intake, "STALLED_SECONDS", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"00"
        for _ in range(100):
            await asyncio.sleep(0.05)
            if portion:
                yield portion

    answer = await client.post("/git/p/git-receive-pack", content=trickle(), headers=PUSH)
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


async def test_a_client_that_sends_slowly_and_steadily_is_heard_out(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = desk
    monkeypatch.setattr(intake, "STALLED_SECONDS", 0.2)

    async def steady() -> AsyncIterator[bytes]:
        yield FLUSH
        for _ in range(8):
            await asyncio.sleep(0.05)
            yield bytes(intake.LEAST_SENT // 2)

    assert (await client.post("/git/p/git-receive-pack", content=steady(), headers=PUSH)).status_code == 200


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PUSHES", 1)


@pytest.mark.usefixtures("one_place")
async def test_a_push_that_finds_no_place_waits_for_one_and_is_then_sent_away(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, go_on = desk[0], asyncio.Event()

    async def dawdle() -> AsyncIterator[bytes]:
        yield b"00"
        await go_on.wait()
        yield b"00"

    first = asyncio.create_task(client.post("/git/p/git-receive-pack", content=dawdle(), headers=PUSH))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(serving, "WAITING_SECONDS", 0.1)
    refused = await client.post("/git/p/git-receive-pack", content=FLUSH, headers=PUSH)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    assert (await client.post("/git/p/git-upload-pack", content=FLUSH, headers=FETCH)).status_code == 200
    monkeypatch.setattr(serving, "WAITING_SECONDS", 30)
    waiting = asyncio.create_task(client.post("/git/p/git-receive-pack", content=FLUSH, headers=PUSH))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    go_on.set()
    assert [(await one).status_code for one in (first, waiting)] == [200, 200]


async def test_while_the_disk_is_nearly_full_no_large_push_is_taken(
    desk: tuple[httpx.AsyncClient, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = desk
    monkeypatch.setattr(serving, "LEAST_FREE", 1 << 62)
    announced = await client.get("/git/p/info/refs?service=git-receive-pack")
    assert announced.status_code == 503
    assert "nearly full" in announced.text
    content = body(NO_OBJECT, "1" * 40, b"PACK" + bytes(3 << 20), "refs/heads/big")
    answer = await client.post("/git/p/git-receive-pack", content=content, headers=PUSH)
    assert "unpack The disk of the server is nearly full" in answer.text
    assert "ng refs/heads/big" in answer.text
    assert (await client.get("/git/p/info/refs?service=git-upload-pack")).status_code == 200


@given(st.binary(max_size=300))
def test_whatever_is_sent_is_read_as_a_push_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "request"
    path.write_bytes(raw)
    with path.open("rb") as file, suppress(Refusal):
        assert read_push(file)


@given(st.binary(max_size=300_000))
def test_what_is_said_on_a_band_is_heard_whole(content: bytes) -> None:
    heard, packets = b"", b"".join(banded(b"\x02", content))
    while packets:
        length = int(packets[:4], 16)
        assert 5 < length <= 65520
        assert packets[4:5] == b"\x02"
        heard, packets = heard + packets[5:length], packets[length:]
    assert heard == content
