"""What the stock git client sees of hosted repositories, and what they see of its doings."""

import hashlib
import os
import shutil
import subprocess
import threading
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich.objects import Blob
from dulwich.pack import write_pack_index_v2

from app.stores.errors import (
    BlobTooLargeError,
    RefConflictError,
    RefMovedError,
    RepositoryCorruptError,
    RepositoryExistsError,
)
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.ports import NewCommit, Signature

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on the PATH")

WHO = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))
MEBIBYTE = 1 << 20

Git = Callable[..., str]


def new(text: str = "a: 1\n", path: str = "artifacts.yml") -> NewCommit:
    return NewCommit({path: text.encode()}, f"Say {text[:8].strip()}\n", WHO, WHO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    HostedGit(tmp_path).create("search/ranker", "main", new())
    return tmp_path / "search/ranker.git"


@pytest.fixture
def repo(path: Path) -> DiskRepository:
    return DiskRepository(path)


@pytest.fixture
def git(path: Path) -> Git:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(path.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(*arguments: str, where: Path = path, text: str | None = None) -> str:
        command = ["git", "-C", str(where), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, input=text)
        return done.stdout.strip()

    return run


@pytest.fixture
def clone(git: Git, path: Path, tmp_path: Path) -> Path:
    git("clone", "-q", str(path), str(tmp_path / "clone"), where=tmp_path)
    return tmp_path / "clone"


def head(repo: DiskRepository, branch: str = "main") -> str:
    return repo.head(branch) or ""


def fsck(git: Git) -> str:
    return git("fsck", "--strict", "--full", "--no-dangling")


def test_git_finds_nothing_to_complain_about_after_everything_was_done(repo: DiskRepository, git: Git) -> None:
    evil = Signature("E <e>\n", " ", datetime(1900, 1, 1, tzinfo=UTC))
    repo.write_commits("main", head(repo), [NewCommit({"b/c.yml": b"", "a": b"\x00"}, "\x00", evil, evil)])
    repo.write_commits("main", head(repo), [new(f"a: {number}\n") for number in range(8)])
    repo.write_commits("größe/x", None, [new("x: 1\n"), new("x: 2\n")])
    repo.create_branch("gone", head(repo))
    git("pack-refs", "--all")
    repo.delete_branch("gone", head(repo))
    assert fsck(git) == ""
    assert git("rev-list", "--count", "main") == "10"
    assert git("for-each-ref", "--format=%(refname)") == "refs/heads/größe/x\nrefs/heads/main"


def test_a_clone_has_the_default_branch_and_the_files(clone: Path, git: Git) -> None:
    assert git("branch", "--show-current", where=clone) == "main"
    assert (clone / "artifacts.yml").read_text() == "a: 1\n"


def test_a_push_by_path_is_seen_by_the_next_call(repo: DiskRepository, git: Git, clone: Path) -> None:
    before, start = repo.fingerprint(), head(repo)
    (clone / "artifacts.yml").write_text("pushed: 1\n")
    git("commit", "-qam", "Push", where=clone)
    git("push", "-q", "origin", "HEAD:main", "HEAD:refs/heads/topic", where=clone)
    assert repo.fingerprint() != before
    assert repo.refs().heads == {"main": head(repo), "topic": head(repo)}
    assert repo.commit(head(repo)).parents == (start,)
    with pytest.raises(RefMovedError):
        repo.write_commits("main", start, [new("late: 1\n")])


def test_a_push_from_behind_is_refused_by_git(repo: DiskRepository, git: Git, clone: Path) -> None:
    repo.write_commits("main", head(repo), [new("ours: 1\n")])
    git("commit", "-q", "--allow-empty", "-m", "Late", where=clone)
    with pytest.raises(subprocess.CalledProcessError):
        git("push", "-q", "origin", "main", where=clone)
    git("pull", "-q", "--rebase", where=clone)
    git("push", "-q", "origin", "main", where=clone)
    assert git("rev-list", "--count", "main") == "3"


@pytest.mark.parametrize("chore", [("gc", "-q", "--prune=now"), ("pack-refs", "--all"), ("repack", "-adq")])
def test_housekeeping_of_git_changes_nothing_that_is_read(
    repo: DiskRepository, git: Git, chore: tuple[str, ...]
) -> None:
    repo.write_commits("main", head(repo), [new(f"a: {number}\n") for number in range(4)])
    repo.create_branch("other", head(repo))
    git("tag", "-a", "v1", "-m", "one")
    refs, tip = repo.refs(), repo.commit(head(repo))
    git(*chore)
    git(*chore)
    assert repo.refs() == refs
    assert repo.commit(refs.tags["v1"]) == tip
    (oid,) = repo.write_commits("main", tip.oid, [new("after: 1\n")])
    assert git("rev-parse", "main") == oid
    assert fsck(git) == ""


def test_reading_and_writing_go_on_while_git_repacks(repo: DiskRepository, git: Git) -> None:
    errors: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                oid = head(repo)
                for _ in range(20):
                    found = repo.file(oid, "artifacts.yml")
                    assert found is not None
                    repo.blob(found.oid, MEBIBYTE)
                    (oid, *_) = repo.commit(oid).parents or (oid,)
        except Exception as error:  # noqa: BLE001 - reported by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(8):
        repo.write_commits("main", head(repo), [new(f"{number}: {each}\n") for each in range(4)])
        repo.write_commits("main", head(repo), [new(f"{number}: single\n")])
        git("repack", "-adq")
        git("prune-packed", "-q")
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert git("rev-list", "--count", "main") == "41"


def test_git_and_the_registry_lose_none_of_each_others_commits(repo: DiskRepository, git: Git) -> None:
    done: list[str] = []

    def by_git() -> None:
        while len(done) < 15:
            old = git("rev-parse", "main")
            made = git("commit-tree", f"{old}^{{tree}}", "-p", old, "-m", str(len(done)))
            try:
                git("update-ref", "refs/heads/main", made, old)
                done.append(made)
                git("pack-refs", "--all")
            except subprocess.CalledProcessError:
                continue

    thread = threading.Thread(target=by_git)
    thread.start()
    while thread.is_alive():
        try:
            done.extend(repo.write_commits("main", head(repo), [new(f"a: {len(done)}\n")]))
        except RefMovedError:
            continue
    thread.join()
    assert set(git("rev-list", "main").split()) >= set(done)
    assert int(git("rev-list", "--count", "main")) == len(done) + 1


def test_a_packed_branch_can_be_moved_and_deleted_for_good(repo: DiskRepository, git: Git) -> None:
    first = head(repo)
    repo.create_branch("a/b", first)
    git("tag", "-a", "v1", "-m", "one")
    git("pack-refs", "--all")
    (second,) = repo.write_commits("a/b", first, [new("b: 2\n")])
    with pytest.raises(RefMovedError):
        repo.delete_branch("a/b", first)
    repo.delete_branch("a/b", second)
    assert repo.head("a/b") is None
    assert git("for-each-ref", "--format=%(refname)") == "refs/heads/main\nrefs/tags/v1"
    assert repo.refs().tags == {"v1": first}
    repo.create_branch("a", first)
    assert git("rev-parse", "a") == first


@pytest.mark.parametrize(("packed", "wanted"), [("a/b", "a"), ("a", "a/b")])
def test_a_packed_branch_leaves_no_room_beside_it_either(
    repo: DiskRepository, git: Git, packed: str, wanted: str
) -> None:
    repo.create_branch(packed, head(repo))
    git("pack-refs", "--all")
    with pytest.raises(RefConflictError):
        repo.create_branch(wanted, head(repo))
    with pytest.raises(RefConflictError):
        repo.write_commits(wanted, None, [new()])


def test_a_symbolic_branch_is_read_and_written_through(repo: DiskRepository, git: Git) -> None:
    git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    (oid,) = repo.write_commits("master", head(repo), [new("b: 2\n")])
    assert head(repo) == head(repo, "master") == oid
    assert git("symbolic-ref", "refs/heads/master") == "refs/heads/main"


def test_hooks_are_never_run(repo: DiskRepository, path: Path) -> None:
    (path / "hooks").mkdir()
    for name in ("pre-receive", "update", "post-receive", "reference-transaction", "pre-commit", "post-commit"):
        (path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {path}/ran\n")
        (path / "hooks" / name).chmod(0o755)
    repo.write_commits("main", head(repo), [new("b: 2\n")])
    repo.create_branch("x", head(repo))
    repo.delete_branch("x", head(repo))
    assert not (path / "ran").exists()


def test_few_commits_are_loose_objects_and_many_are_one_pack(repo: DiskRepository, path: Path) -> None:
    for count, packs in ((1, 0), (2, 0), (3, 1), (8, 2)):
        loose = len(list(path.glob("objects/??/*")))
        repo.write_commits("main", head(repo), [new(f"{count}: {number}\n") for number in range(count)])
        assert len(list(path.glob("objects/pack/*.pack"))) == packs
        assert (len(list(path.glob("objects/??/*"))) > loose) == (count < 3)


def test_a_bomb_is_refused_by_its_size_before_it_is_inflated(
    repo: DiskRepository, git: Git, path: Path, clone: Path
) -> None:
    (clone / "artifacts.yml").write_bytes(b"\n" * (64 * MEBIBYTE))
    git("-c", "core.bigFileThreshold=1g", "commit", "-qam", "Bomb", where=clone)
    git("push", "-q", "origin", "main", where=clone)
    found = repo.file(head(repo), "artifacts.yml")
    assert found is not None
    refuses_lightly(repo, found.oid)
    git("repack", "-adq")
    refuses_lightly(repo, found.oid)
    assert not list(path.glob("objects/??/*"))


def refuses_lightly(repo: DiskRepository, oid: str) -> None:
    made: list[int] = []
    original = zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self.inner = original()

        def decompress(self, raw: bytes, most: int = 0) -> bytes:
            out = self.inner.decompress(raw, most)
            made.append(len(out))
            return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "decompressobj", Counting)
        with pytest.raises(BlobTooLargeError) as refusal:
            repo.blob(oid, MEBIBYTE)
    assert refusal.value.size == 64 * MEBIBYTE
    assert sum(made) < 1000


def test_a_bomb_hidden_in_the_middle_of_a_chain_of_deltas_is_refused(repo: DiskRepository, path: Path) -> None:
    base, copies = Blob.from_string(b"x" * 0xFFFF), 3200
    middle, small = copies * 0xFFFF, Blob.from_string(b"x" * 10)
    steps = [
        (3, b"", base.data),
        (7, base.sha().digest(), size(0xFFFF) + size(middle) + b"\xb0\xff\xff" * copies),
        (7, b"\x01" * 20, size(middle) + size(10) + b"\x90\x0a"),
    ]
    pack, entries = bytearray(b"PACK\x00\x00\x00\x02\x00\x00\x00\x03"), []
    for (kind, origin, raw), oid in zip(steps, (base.sha().digest(), b"\x01" * 20, small.sha().digest()), strict=True):
        entries.append((oid, len(pack), 0))
        length = size(len(raw) >> 4)
        pack += bytes([kind << 4 | len(raw) & 15 | (0x80 if len(raw) >> 4 else 0)]) + (length if len(raw) >> 4 else b"")
        pack += origin + zlib.compress(raw)
    checksum = hashlib.sha1(pack, usedforsecurity=False).digest()
    (path / "objects/pack/pack-bomb.pack").write_bytes(pack + checksum)
    with (path / "objects/pack/pack-bomb.idx").open("wb") as index:
        write_pack_index_v2(index, sorted(entries), checksum)
    assert repo.blob(base.id.decode(), MEBIBYTE) == base.data
    with pytest.raises(BlobTooLargeError) as refusal:
        repo.blob(small.id.decode(), MEBIBYTE)
    assert refusal.value.size == middle


def size(number: int) -> bytes:
    """A number as packs write it, least significant seven bits first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_a_small_blob_kept_as_a_difference_to_a_large_one_is_read(repo: DiskRepository, git: Git) -> None:
    lines = "".join(f"entry-{number}: {number * 7919}\n" for number in range(60_000))
    (large,) = repo.write_commits("main", head(repo), [new(lines)])
    (small,) = repo.write_commits("main", large, [new(lines[: MEBIBYTE // 2])])
    git("repack", "-adfq", "--depth=50")
    blobs = {oid: git("rev-parse", f"{oid}:artifacts.yml") for oid in (large, small)}
    table = git(
        "verify-pack", "-v", str(next((Path(git("rev-parse", "--absolute-git-dir")) / "objects/pack").glob("*.idx")))
    )
    (entry,) = (line for line in table.splitlines() if line.startswith(blobs[small]))
    assert len(entry.split()) == 7, "git did not make a difference of it"
    assert repo.blob(blobs[small], MEBIBYTE) == lines[: MEBIBYTE // 2].encode()
    with pytest.raises(BlobTooLargeError) as refusal:
        repo.blob(blobs[large], MEBIBYTE)
    assert refusal.value.size == len(lines)


@pytest.mark.parametrize("packed", [False, True])
def test_a_garbled_object_is_a_corrupt_repository(repo: DiskRepository, git: Git, path: Path, packed: bool) -> None:  # noqa: FBT001 - a parameter
    oid = head(repo)
    if packed:
        git("repack", "-adq")
        (victim,) = path.glob("objects/pack/*.pack")
        garbage = b"PACK" + b"\x00\x00\x00\x02\x00\x00\x00\x03" + b"\x99" * (victim.stat().st_size - 12)
    else:
        victim, garbage = path / "objects" / oid[:2] / oid[2:], b"garbage"
    victim.chmod(0o644)
    victim.write_bytes(garbage)
    with pytest.raises(RepositoryCorruptError, match="git fsck"):
        DiskRepository(path).commit(oid)


def test_an_object_with_other_content_than_its_id_says_is_a_corrupt_repository(
    repo: DiskRepository, path: Path
) -> None:
    oid = head(repo)
    victim = path / "objects" / oid[:2] / oid[2:]
    victim.chmod(0o644)
    victim.write_bytes(zlib.compress(b"commit 3\0abc"))
    with pytest.raises(RepositoryCorruptError, match="other bytes"):
        repo.commit(oid)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("HEAD", b"\xff\xfe garbage"),
        ("HEAD", b""),
        ("HEAD", b"1" * 40 + b"\n"),
        ("packed-refs", b"garbage\n"),
        ("refs/heads/main", b""),
        ("refs/heads/main", b"ref: refs/heads/main\n"),
        ("refs/heads/main", b"ref: ../../../etc/passwd\n"),
    ],
)
def test_garbage_in_a_ref_is_a_corrupt_repository(repo: DiskRepository, path: Path, file: str, content: bytes) -> None:
    (path / file).write_bytes(content)
    with pytest.raises(RepositoryCorruptError):
        repo.refs()


def test_an_empty_packed_refs_packs_nothing(repo: DiskRepository, path: Path) -> None:
    (path / "packed-refs").write_bytes(b"")
    assert list(repo.refs().heads) == ["main"]


def test_a_branch_whose_name_is_not_utf_8_is_left_out(repo: DiskRepository, git: Git, path: Path) -> None:
    target = os.path.join(os.fsencode(path), b"refs/heads/\xff")  # noqa: PTH118 - a name no Path should have
    try:
        Path(os.fsdecode(target)).write_text(head(repo) + "\n")
    except OSError:
        pytest.skip("this disk takes no such name")
    assert list(repo.refs().heads) == ["main"]
    git("pack-refs", "--all")
    assert list(repo.refs().heads) == ["main"]


def test_a_repository_at_a_path_of_its_own_can_be_made_once(tmp_path: Path, git: Git) -> None:
    path = tmp_path / "data" / "catalogue.git"
    DiskRepository.create(path, "main", new("projects: {}\n"))
    assert git("show", "main:artifacts.yml", where=path) == "projects: {}"
    with pytest.raises(RepositoryExistsError):
        DiskRepository.create(path, "main", new())
