"""What is said of failures reaches callers: it names no folder of the server."""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.stores.errors import RemoteRefusedError, StoreError
from app.stores.git import disk, locks
from app.stores.git.address import Address
from app.stores.git.credentials import Credentials
from app.stores.git.disk import DiskObjects
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.git.mirror import Mirror
from app.stores.git.mirrored import Mirrors
from app.stores.ports import NewCommit, Signature
from tests.support.sshd import SSHD, sshd

WHO = Signature("Ada", "ada@example.org", datetime.now(UTC))
FIRST = NewCommit({}, "Begin", WHO, WHO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    DiskRepository.create(tmp_path / "git" / "ranker.git", "main", FIRST)
    return tmp_path / "git" / "ranker.git"


def write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda path: (path / name).write_text(text)


def link_in_a_circle(path: Path) -> None:
    (path / "refs/heads/main").unlink()
    (path / "refs/heads/main").symlink_to(path / "refs/heads/main")


def file_for_a_folder(path: Path) -> None:
    shutil.rmtree(path / "registry", ignore_errors=True)
    (path / "registry").write_text("")


READING = {
    "HEAD names no branch": write("HEAD", "0" * 40),
    "no HEAD": lambda path: (path / "HEAD").unlink(),
    "no id": write("refs/heads/main", "x"),
    "leads nowhere": write("refs/heads/main", "ref: ../../x"),
    "leads to itself": write("refs/heads/main", "ref: refs/heads/main"),
    "link in a circle": link_in_a_circle,
    "no repository": shutil.rmtree,
}
WRITING = {"file for a folder": file_for_a_folder, "held": write("refs/heads/main.lock", "")}


def said(path: Path, act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refusal:
        act()
    assert str(path.parents[1]) not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("how", READING)
def test_of_a_repository_that_cannot_be_read(path: Path, how: str) -> None:
    READING[how](path)
    assert "ranker" in said(path, DiskRepository(path).refs)


@pytest.mark.parametrize("how", WRITING)
def test_of_a_repository_that_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    repository = DiskRepository(path)
    head = repository.head("main")
    assert head
    WRITING[how](path)
    said(path, lambda: repository.move_branch("main", head, head))


def test_of_a_turn_that_another_holds(path: Path) -> None:
    with locks.flocked(path / "lock", time.monotonic() + 1):

        def take() -> None:
            with locks.flocked(path / "lock", time.monotonic()):
                pass

        said(path, take)


def test_of_a_name_that_is_taken_in_other_letters(path: Path) -> None:
    assert "ranker.git" in said(path, lambda: HostedGit(path.parent).create("Ranker", "main", FIRST))


def test_of_a_folder_in_which_nothing_can_be_made(path: Path) -> None:
    file = path.parents[1] / "file"
    file.write_text("")
    said(path, lambda: DiskRepository.create(file / "x.git", "main", FIRST))
    said(path, lambda: Mirror(file / "x.git", None).follow(afresh=False))  # type: ignore[arg-type] # it gets not so far


def test_of_packs_that_disappear(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "gone", str(path))

    found = DiskObjects(path)
    monkeypatch.setattr(found.packs, "locate", gone)
    monkeypatch.setattr(disk, "PATIENCE", 0)
    said(path, lambda: found.find("1" * 40))


def test_of_credentials_that_cannot_be_read(path: Path) -> None:
    address = Address.parse("https://git.example.org/x.git")
    said(path, lambda: Credentials(path / "nowhere").authorization(address))


@pytest.mark.skipif(SSHD is None, reason="there is no sshd here")
def test_of_a_key_that_ssh_does_not_take(path: Path, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as daemon:
        key = tmp_path / "key"
        key.write_text("no key")
        key.chmod(0o600)
        mirrors = Mirrors(tmp_path / "m", Credentials(None), ssh_key=key, known_hosts=daemon.known_hosts)
        with pytest.raises(RemoteRefusedError) as refusal:
            mirrors.at(daemon.url(path)).fetch()
    assert "Load key" in refusal.value.reason
    assert str(key) not in f"{refusal.value} {refusal.value.reason}"
