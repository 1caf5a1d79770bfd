"""What becomes of reads and writes when the Git server elsewhere, or the road to it, fails."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.stores.errors import (
    CommitNotFoundError,
    RefMovedError,
    RemoteRefusedError,
    RemoteUnavailableError,
    StoreError,
)
from app.stores.git import remote, transport
from app.stores.git.credentials import Credentials
from app.stores.git.mirrored import MirroredRepository, Mirrors
from app.stores.git.transport import Patience
from app.stores.ports import NewCommit, Signature
from tests.support.git import clone, git, push_file
from tests.support.githttp import GitHttp, bare, decline, listing, serving

WHO = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))
HASTY = Patience(connect=0.5, silence=0.5)
NOWHERE = "0" * 39 + "1"


def new(text: str) -> NewCommit:
    return NewCommit({"artifacts.yml": text.encode()}, f"{text}\n", WHO, WHO)


def at(root: Path, url: str) -> MirroredRepository:
    return Mirrors(root, Credentials(listing(url, root.parent)), patience=HASTY).at(url)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    made = bare(tmp_path / "origin", "ranker")
    push_file(clone(made, tmp_path / "person"), "artifacts.yml", b"a: 1\n")
    return made


@pytest.fixture
def server(origin: Path) -> Iterator[GitHttp]:
    with serving(origin.parent) as running:
        yield running


@pytest.fixture
def repo(server: GitHttp, tmp_path: Path) -> MirroredRepository:
    made = at(tmp_path / "mirrors", server.url("ranker"))
    made.fetch()
    return made


def subjects(origin: Path) -> list[str]:
    return git("log", "--format=%s", "main", at=origin).splitlines()


# ── A push is refused ────────────────────────────────────────────────────────────────────────


def test_a_push_a_hook_declines_is_refused_in_its_words_and_nothing_is_visible(
    repo: MirroredRepository, origin: Path
) -> None:
    decline(origin)
    before = repo.fingerprint()
    with pytest.raises(RemoteRefusedError) as refusal:
        repo.write_commits("main", repo.head("main"), [new("no")])
    assert refusal.value.reason == "main is protected\nask Ada\npre-receive hook declined"
    assert "pre-receive hook declined" in str(refusal.value)
    assert repo.fingerprint() == before
    assert subjects(origin) == ["By hand"]
    (origin / "hooks/pre-receive").unlink()
    repo.write_commits("main", repo.head("main"), [new("yes")])
    assert subjects(origin) == ["yes", "By hand"]


def test_words_that_would_move_a_cursor_are_made_harmless(repo: MirroredRepository, origin: Path) -> None:
    decline(origin)
    hook = origin / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\nprintf '\\033[2Jgone\\r\\377\\n' >&2; head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1\n"
    )
    with pytest.raises(RemoteRefusedError) as refusal:
        repo.write_commits("main", repo.head("main"), [new("no")])
    assert "\033" not in refusal.value.reason
    assert len(refusal.value.reason) <= 4000


def test_what_the_remotes_settings_deny_is_refused(repo: MirroredRepository, origin: Path) -> None:
    git("branch", "topic", "main", at=origin)
    repo.fetch()
    head = str(repo.head("topic"))
    git("config", "receive.denyDeletes", "true", at=origin)
    with pytest.raises(RemoteRefusedError, match="deletion prohibited"):
        repo.delete_branch("topic", head)
    assert repo.head("topic") == head
    git("config", "receive.denyNonFastForwards", "true", at=origin)
    (later,) = repo.write_commits("topic", head, [new("later")])
    with pytest.raises(RemoteRefusedError, match="non-fast-forward"):
        repo.move_branch("topic", later, head)
    assert repo.head("topic") == later == git("rev-parse", "topic", at=origin)


@pytest.mark.parametrize("status", ["401", "403", "413"])
def test_a_push_that_is_not_let_in_is_refused(repo: MirroredRepository, server: GitHttp, status: str) -> None:
    server.moods.push = [status]
    with pytest.raises(RemoteRefusedError, match=status):
        repo.write_commits("main", repo.head("main"), [new("no")])


# ── The answer to a push is lost ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mood", ["die-before", "die-within", "die-after", "500-after", "502", "garbage", "silent"])
def test_a_push_without_an_answer_is_looked_for_and_lands_once(
    repo: MirroredRepository, server: GitHttp, origin: Path, mood: str
) -> None:
    server.moods.push = [mood]
    ids = repo.write_commits("main", repo.head("main"), [new("one"), new("two")])
    assert git("rev-parse", "main", at=origin) == ids[-1] == repo.head("main")
    assert subjects(origin) == ["two", "one", "By hand"]


def test_a_push_that_lands_while_it_is_sent_again_lands_once(
    repo: MirroredRepository, server: GitHttp, origin: Path
) -> None:
    """The first is still at work when we look; the second is refused, because the first has moved the branch."""
    head = repo.head("main")
    server.moods.push = ["late"]
    (oid,) = repo.write_commits("main", head, [new("slowly")])
    assert git("rev-parse", "main", at=origin) == oid == repo.head("main")
    assert subjects(origin) == ["slowly", "By hand"]


def test_a_push_others_have_pushed_on_already_has_landed(
    repo: MirroredRepository, server: GitHttp, origin: Path, tmp_path: Path
) -> None:
    server.moods.push = ["die-after"]
    person = clone(origin, tmp_path / "other")

    def push_on() -> None:
        git("pull", "--quiet", at=person)
        push_file(person, "other.txt", b"x\n", "On top")

    server.moods.after = push_on
    (oid,) = repo.write_commits("main", repo.head("main"), [new("ours")])
    assert subjects(origin) == ["On top", "ours", "By hand"]
    assert repo.head("main") != oid
    assert repo.commit(str(repo.head("main"))).parents == (oid,)


def test_a_push_that_others_have_merged_into_their_work_already_has_landed(
    repo: MirroredRepository, server: GitHttp, origin: Path, tmp_path: Path
) -> None:
    server.moods.push = ["die-after"]
    person = clone(origin, tmp_path / "other")
    git("commit", "--quiet", "--allow-empty", "-m", "Of her own", at=person)

    def merge() -> None:
        git("pull", "--quiet", "--no-rebase", "--no-edit", at=person)
        git("push", "--quiet", at=person)

    server.moods.after = merge
    (oid,) = repo.write_commits("main", repo.head("main"), [new("ours")])
    assert repo.commit(str(repo.head("main"))).parents[1] == oid


def test_a_push_without_an_answer_that_lost_its_race_is_lost(
    repo: MirroredRepository, server: GitHttp, origin: Path, tmp_path: Path
) -> None:
    server.moods.push = ["die-before"]
    server.moods.after = lambda: push_file(clone(origin, tmp_path / "other"), "artifacts.yml", b"b: 1\n", "First")
    with pytest.raises(RefMovedError):
        repo.write_commits("main", repo.head("main"), [new("late")])
    assert subjects(origin) == ["First", "By hand"]
    assert repo.head("main") == git("rev-parse", "main", at=origin)


def test_when_nobody_can_tell_it_is_said_how_asking_again_is_safe(
    repo: MirroredRepository, server: GitHttp, origin: Path
) -> None:
    server.moods.push, server.moods.after = ["die-after"], lambda: setattr(server.moods, "every", "502")
    before = repo.head("main")
    with pytest.raises(
        RemoteUnavailableError, match=r"may have arrived: look whether.*same idempotency key if you gave one"
    ):
        repo.write_commits("main", before, [new("who knows")])
    assert repo.head("main") == before
    server.moods.every = ""
    repo.fetch()
    assert repo.head("main") == git("rev-parse", "main", at=origin)
    assert subjects(origin) == ["who knows", "By hand"]


def test_a_branch_is_made_and_deleted_though_the_answers_are_lost(
    repo: MirroredRepository, server: GitHttp, origin: Path
) -> None:
    head = str(repo.head("main"))
    server.moods.push = ["die-after", "die-before", "ok", "die-after"]
    repo.create_branch("a", head)
    repo.create_branch("b", head)
    repo.delete_branch("a", head)
    assert repo.refs().heads == {"main": head, "b": head}
    assert git("for-each-ref", "--format=%(refname:short)", at=origin).split() == ["b", "main"]


# ── The server is away ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mood", ["500", "503", "429", "garbage", "login", "die-before", "die-within", "silent"])
def test_reads_go_on_while_the_server_fails_in_any_way(repo: MirroredRepository, server: GitHttp, mood: str) -> None:
    head = str(repo.head("main"))
    server.moods.every = mood
    with pytest.raises(RemoteUnavailableError):
        repo.fetch()
    assert repo.refs().heads == {"main": head}
    assert repo.commit(head).oid == head
    with pytest.raises(CommitNotFoundError):
        repo.commit(NOWHERE)
    server.moods.every = ""
    repo.fetch()


def test_a_server_that_is_not_there_is_unavailable_and_surely_got_nothing(
    repo: MirroredRepository, server: GitHttp, tmp_path: Path
) -> None:
    (head,) = repo.write_commits("main", repo.head("main"), [new("while it is there")])
    server.stop()
    for attempt in (repo.fetch, lambda: repo.write_commits("main", head, [new("x")])):
        with pytest.raises(RemoteUnavailableError, match="cannot be reached") as refusal:
            attempt()
        assert "may have arrived" not in str(refusal.value)
    with pytest.raises(RemoteUnavailableError):
        at(tmp_path / "never", server.url("ranker")).refs()


def test_a_read_of_what_is_not_here_waits_ever_longer_for_a_server_that_is_away(
    repo: MirroredRepository, server: GitHttp
) -> None:
    server.moods.every = "503"
    begun = time.monotonic()
    server.requests()
    while time.monotonic() - begun < 2:
        with pytest.raises(CommitNotFoundError):
            repo.commit(NOWHERE)
    assert len(server.requests()) <= 4


def test_no_reader_waits_long_for_a_server_that_says_nothing_and_one_thread_looks_for_all(
    server: GitHttp, tmp_path: Path
) -> None:
    repo = Mirrors(tmp_path / "patient", Credentials(server.listed)).at(server.url("ranker"))
    repo.fetch()
    server.moods.every = "silent"
    begun, looking = time.monotonic(), []

    def read(number: int) -> None:
        with pytest.raises(CommitNotFoundError):
            repo.commit(f"{number:040x}")

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        looking.append(sum(thread.name == "look" for thread in threading.enumerate()))
        time.sleep(0.05)
    assert 1.9 < time.monotonic() - begun < 4
    assert max(looking) == 1
    read(9)
    assert time.monotonic() - begun < 4
    server.stop()


def test_whoever_reads_what_is_still_being_fetched_for_the_first_time_is_told_so_soon(
    server: GitHttp, tmp_path: Path
) -> None:
    server.moods.every = "silent"
    repo = Mirrors(tmp_path / "patient", Credentials(server.listed)).at(server.url("ranker"))
    begun = time.monotonic()
    for attempt in (repo.refs, repo.fingerprint, lambda: repo.head("main")):
        with pytest.raises(RemoteUnavailableError, match="first time; ask again in a moment"):
            attempt()
    assert time.monotonic() - begun < 4
    server.stop()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as hole:
        yield hole.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https", "ssh"])
def test_a_server_that_says_nothing_is_not_waited_for_without_an_end(tmp_path: Path, scheme: str) -> None:
    with black_hole() as port:
        begun = time.monotonic()
        with pytest.raises(RemoteUnavailableError):
            at(tmp_path, f"{scheme}://127.0.0.1:{port}/x.git").fetch()
        assert time.monotonic() - begun < 4


def test_a_certificate_nobody_vouches_for_is_not_trusted(tmp_path: Path, origin: Path) -> None:
    with serving(origin.parent, certificate=self_signed(tmp_path)) as server:
        with pytest.raises(RemoteUnavailableError, match="not trusted"):
            at(tmp_path / "m", server.url("ranker")).fetch()
        assert server.requests() == []


def self_signed(at: Path) -> Path:
    both = at / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *subject, "-keyout", both, "-out", at / "cert.pem"], check=True, capture_output=True)
    both.write_bytes(both.read_bytes() + (at / "cert.pem").read_bytes())
    return both


# ── A hostile server ─────────────────────────────────────────────────────────────────────────


@contextmanager
def endless(status: bytes, portion: bytes) -> Iterator[int]:
    """A server that answers everything with a head and then the same portion, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(status)
                        while True:
                            connection.sendall(portion)
                except OSError:
                    if listening.fileno() < 0:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


HEAD = b"""HTTP/1.1 200 OK\r
Content-Type: application/x-git-upload-pack-advertisement\r
Content-Length: 99999999999\r
\r
"""


@pytest.mark.parametrize(
    "portion",
    [
        b"0" * 65536,
        b"000eversion 2\n" * 5000,
        b"003f" + b"a" * 40 + b" refs/heads/" + b"b" * 6 + b"\n",
        b"ffff" + b"x" * 65531,
    ],
)
def test_an_answer_without_an_end_is_cut_off(tmp_path: Path, portion: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_LISTED", 1 << 20)
    with endless(HEAD, portion * (1 + 65536 // len(portion))) as port:
        tracemalloc.start()
        with pytest.raises(StoreError):
            at(tmp_path, f"http://127.0.0.1:{port}/x.git").fetch()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10 << 20


def test_an_answer_that_trickles_is_cut_off(
    repo: MirroredRepository, server: GitHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.1)
    server.moods.every = "trickle"
    with pytest.raises(RemoteUnavailableError, match="bytes in"):
        repo.fetch()


# ── Somebody is killed ───────────────────────────────────────────────────────────────────────


FOLLOWER = """
import sys
from pathlib import Path
from app.stores.git import remote, transport
from app.stores.git.credentials import Credentials
from app.stores.git.mirrored import Mirrors
repo = Mirrors(Path(sys.argv[1]), Credentials(Path(sys.argv[3]))).at(sys.argv[2])
print("begins", flush=True)
while True:
    repo.fetch()
"""


@pytest.mark.slow
def test_whoever_is_killed_while_fetching_leaves_nothing_that_matters(
    server: GitHttp, origin: Path, tmp_path: Path
) -> None:
    person = clone(origin, tmp_path / "pusher")
    for turn in range(8):
        command = [sys.executable, "-c", FOLLOWER, tmp_path / "shared", server.url("ranker"), server.listed]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            (person / f"{turn}.bin").write_bytes(os.urandom(300_000))
            git("add", ".", at=person)
            push_file(person, "artifacts.yml", b"a: %d\n" % turn)
            time.sleep(turn * 0.02)
            process.send_signal(signal.SIGKILL)
    repo = at(tmp_path / "shared", server.url("ranker"))
    repo.fetch()
    (mirror,) = (tmp_path / "shared").glob("*.git")
    assert repo.head("main") == git("rev-parse", "main", at=origin)
    git("fsck", "--full", "--strict", at=mirror)
    repo.write_commits("main", repo.head("main"), [new("after")])
    assert [path.name for path in (tmp_path / "shared").iterdir() if path.suffix in {".new", ".old"}] == []
    assert list(mirror.glob("objects/pack/tmp_*")) == []
