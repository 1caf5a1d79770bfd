"""Who we are to Git servers elsewhere, where we go and where we do not, and what nobody may learn of it."""

import base64
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.errors import (
    RemoteRefusedError,
    RemoteUrlError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git.address import Address
from app.stores.git.credentials import Credentials
from app.stores.git.mirrored import MirroredRepository, Mirrors
from app.stores.git.transport import UnreachableError
from tests.support.git import push_file
from tests.support.githttp import serving
from tests.support.sshd import SSHD, sshd
from tests.support.world import World, a_world, new

SECRET = "t0p-s3cret"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


# ── Who we are ───────────────────────────────────────────────────────────────────────────────


def credentials(at: Path, *lines: str) -> Path:
    at.write_text("".join(f"{line}\n" for line in lines))
    return at


def test_credentials_are_sent_and_read_again_when_they_change(world: World) -> None:
    world.server.moods.password = SECRET
    file = credentials(world.root / "credentials", f"http://ada:wrong@127.0.0.1:{world.server.port}")
    repo = world.replica("one", file)
    with pytest.raises(RemoteRefusedError, match="credentials file") as refusal:
        repo.refs()
    assert "127.0.0.1" in str(refusal.value)
    time.sleep(0.6)  # soon after a failure nobody is asked
    credentials(file, "# ours", "", f"http://ada:{SECRET}@127.0.0.1:{world.server.port}")
    assert repo.refs().heads == {"main": world.tip()}
    repo.write_commits("main", world.tip(), [new("x")])


def test_credentials_are_decoded_as_git_decodes_them(tmp_path: Path) -> None:
    address = Address.parse("https://git.example.org/x.git")
    file = credentials(
        tmp_path / "c", "nonsense", "https://a%40b:p%2Fw%3A@git.example.org", "https://c:d@git.example.org"
    )
    assert Credentials(file).authorization(address) == "Basic " + base64.b64encode(b"a@b:p/w:").decode()
    assert Credentials(file).authorization(Address.parse("https://git.example.org:8443/x.git")) is None
    assert Credentials(None).authorization(address) is None


def test_a_missing_credentials_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Credentials(tmp_path / "none").authorization(Address.parse("https://git.example.org/x.git"))


def test_a_secret_is_in_no_log_no_message_and_no_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.server.moods.password = SECRET
    file = credentials(world.root / "credentials", f"http://ada:{SECRET}@127.0.0.1:{world.server.port}", f"x {SECRET}")
    repo = world.replica("one", file)
    repo.refs()
    repo.write_commits("main", world.tip(), [new("x")])
    said = []
    for mood in ("500", "garbage", "login", "die-before", "403"):
        world.server.moods.every = mood
        with pytest.raises(StoreError) as refusal:
            repo.fetch()
        said.append(str(refusal.value))
    assert SECRET not in caplog.text + "".join(said)
    assert not any(SECRET.encode() in path.read_bytes() for path in world.mirror("one").rglob("*") if path.is_file())


def test_credentials_do_not_follow_to_another_host(world: World) -> None:
    with serving(world.root / "origin") as other:
        lines = [f"http://ada:{SECRET}@127.0.0.1:{port}" for port in (world.server.port, other.port)]
        file = credentials(world.root / "credentials", *lines)
        world.server.moods.sent_to = other.base
        repo = world.replica("one", file)
        repo.fetch()
        assert repo.head("main") == world.tip()
        (oid,) = repo.write_commits("main", repo.head("main"), [new("x")])
        assert world.tip() == oid
        assert set(other.moods.authorizations) == {None}
        assert None not in world.server.moods.authorizations


@pytest.mark.parametrize("target", ["ftp://example.org", "http://example.org", "//", "file:///etc"])
def test_a_redirect_to_where_we_do_not_go_is_not_followed(world: World, target: str) -> None:
    world.server.moods.sent_to = target
    with pytest.raises(StoreError):
        world.replica("one").fetch()


@pytest.mark.parametrize("host", ["git.example.org", "localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_plain_http_is_for_hosts_that_are_listed(tmp_path: Path, host: str) -> None:
    with pytest.raises(RemoteUrlError, match="Use https://"):
        Mirrors(tmp_path, Credentials(None)).at(f"http://{host}/x.git")
    file = credentials(tmp_path / "c", f"http://{host}")
    Mirrors(tmp_path, Credentials(file)).at(f"http://{host}/x.git")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::]"),
        *("[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"),
        *("169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "224.0.0.1", "255.255.255.255"),
    ],
)
def test_no_connection_is_made_to_an_address_inside_the_network(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        repo = Mirrors(tmp_path, Credentials(None)).at(f"https://{host}:{listening.getsockname()[1]}/x.git")
        with pytest.raises(RemoteUrlError, match="lies inside the network"):
            repo.fetch()
        listening.setblocking(False)  # noqa: FBT003 - the library's
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_name_is_connected_to_where_it_was_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def resolve(host: object, *_: object, **__: object) -> object:
        asked.append(host)
        address = "192.0.0.9" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]

    def connect(_: socket.socket, place: object) -> None:
        asked.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(UnreachableError):
        Mirrors(tmp_path, Credentials(None)).at("https://git.example.org/x.git").fetch()
    assert asked[:2] == ["git.example.org", "192.0.0.9"]


def test_a_redirect_leads_to_no_address_inside_the_network(world: World) -> None:
    world.server.moods.sent_to = "https://127.0.0.1:1"
    with pytest.raises(RemoteUrlError, match="lies inside the network"):
        world.replica("one").fetch()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git@example.org:x.git",
        "file:///etc",
        "ext::sh -c id",
        "/srv/x.git",
        "https://",
        "https://example.org",
        "https://example.org/",
        "https://ada:secret@example.org/x.git",
        "https://ada@example.org/x.git",
        "https://example.org/x.git?a=b",
        "https://example.org/x.git#main",
        "https://example.org/x y.git",
        "https://example.org/x\n.git",
        "https://example.org:99999/x.git",
        "https://exa mple.org/x.git",
        "ssh://-oProxyCommand=id/x.git",
        "ssh://-oProxyCommand=id@example.org/x.git",
        "ssh://ada:secret@example.org/x.git",
        "ssh://example.org",
        "ssh://[::1/x.git",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as refusal:
        Mirrors(tmp_path, Credentials(None)).at(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("HTTPS://Example.ORG:443/a/b.git/", "https://example.org/a/b.git"),
        ("ssh://git@example.org/~ada/x", "ssh://git@example.org/~ada/x"),
        ("ssh://example.org:2222/x.git", "ssh://example.org:2222/x.git"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
    ],
)
def test_a_url_is_read_as_git_reads_it(url: str, shown: str) -> None:
    assert str(Address.parse(url)) == shown


# ── SSH ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None, reason="there is no sshd here")
def test_over_ssh_a_server_without_protocol_2_is_followed_and_pushed_to(world: World) -> None:
    with sshd(world.root / "sshd", accepts="NOTHING") as daemon:
        mirrors = Mirrors(world.root / "m", Credentials(None), ssh_key=daemon.key, known_hosts=daemon.known_hosts)
        repo = mirrors.at(daemon.url(world.origin))
        repo.fetch()
        oid = push_file(world.person, "artifacts.yml", b"a: 2\n")
        repo.fetch()
        (ours,) = repo.write_commits("main", oid, [new("b")])
        assert world.tip() == ours


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None, reason="there is no sshd here")
def test_over_ssh_each_refusal_says_what_to_look_at(world: World) -> None:
    with sshd(world.root / "sshd") as daemon, sshd(world.root / "other") as other:

        def at(url: str, key: Path = daemon.key, known: Path = daemon.known_hosts) -> MirroredRepository:
            return Mirrors(world.root / "m", Credentials(None), ssh_key=key, known_hosts=known).at(url)

        with pytest.raises(RepositoryNotFoundError):
            at(daemon.url(world.root / "it's not there.git".replace(" ", "-"))).fetch()
        with pytest.raises(RemoteRefusedError, match="key"):
            at(daemon.url(world.origin), key=other.key).fetch()
        with pytest.raises(StoreError, match="Host key"):
            at(daemon.url(world.origin), known=other.known_hosts).fetch()
    with pytest.raises(StoreError, match="cannot be reached"):
        at(daemon.url(world.origin)).fetch()
