"""What every Git adapter does: one suite, each adapter through it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ShaFile, Tag, Tree

from app.stores.errors import (
    BlobNotFoundError,
    BlobTooLargeError,
    CommitNotFoundError,
    PathConflictError,
    RefConflictError,
    RefMovedError,
    RepositoryCorruptError,
    RepositoryExistsError,
    RepositoryNotFoundError,
)
from app.stores.git.credentials import Credentials
from app.stores.git.disk import DiskObjects
from app.stores.git.hosted import HostedGit
from app.stores.git.memory import MemoryGit
from app.stores.git.mirrored import Mirrors
from app.stores.ports import GitHost, NewCommit, Repository, Signature, TreeFile
from tests.support.git import git
from tests.support.githttp import serving
from tests.support.sshd import SSHD, Sshd, sshd

WHO = Signature("Ada Lovelace", "ada@example.org", datetime(2026, 5, 4, 12, 30, tzinfo=timezone(timedelta(hours=2))))
NOWHERE = "0" * 39 + "1"


def new(
    text: str = "a: 1\n", path: str = "artifacts.yml", message: str = "Say it\n", who: Signature = WHO
) -> NewCommit:
    return NewCommit({path: text.encode()}, message, who, who)


@dataclass
class Place:
    """An adapter under test, a repository in it, and a way to put there what other tools make."""

    host: GitHost
    repo: Repository
    put: Callable[..., None]
    tag: Callable[[str, str], None]

    @property
    def tip(self) -> str:
        return self.repo.head("main") or ""

    def tree(self, *entries: tuple[bytes, int, ShaFile]) -> str:
        """A commit of a tree of exactly these entries, on the branch `foreign`."""
        tree = Tree()
        for name, mode, entry in entries:
            tree.add(name, mode, entry.id)
        raw = b"tree %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx" % tree.id
        commit = Commit.from_string(raw)
        self.put(tree, commit, *(entry for _, mode, entry in entries if mode != 0o160000))
        self.repo.create_branch("foreign", commit.id.decode())
        return commit.id.decode()


@pytest.fixture(params=["memory", "hosted", "https", pytest.param("ssh", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryGit()
        memory.create("search/ranker", "main", new())
        held = memory.repository("search/ranker")
        yield Place(memory, held, lambda *made: held.objects.keep(made), held.tags.__setitem__)
        return
    hosted = HostedGit(tmp_path)
    hosted.create("search/ranker", "main", new())
    path = tmp_path / "search/ranker.git"
    disk = DiskObjects(path)
    if request.param == "hosted":
        yield Place(
            hosted,
            hosted.repository("search/ranker"),
            lambda *made: disk.write(made, packed=False),
            lambda name, oid: (path / "refs/tags" / name).write_text(f"{oid}\n") and None,
        )
        return
    with remote(request, path) as (mirrors, url):
        yield mirrored(HostedGit(tmp_path, mirrors), path, mirrors, url)


@contextmanager
def remote(request: pytest.FixtureRequest, path: Path) -> Iterator[tuple[Mirrors, str]]:
    """A Git server that has the repository at a path, and where it is found."""
    mirrors = path.parents[1] / "mirrors"
    git("config", "receive.denyDeleteCurrent", "ignore", at=path)
    if request.param == "https":
        git("config", "http.receivepack", "true", at=path)
        with serving(path.parent) as server:
            yield Mirrors(mirrors, Credentials(server.listed)), server.url("ranker")
        return
    if SSHD is None:
        pytest.skip("there is no sshd here")
    daemon: Sshd = request.getfixturevalue("daemon")
    yield Mirrors(mirrors, Credentials(None), ssh_key=daemon.key, known_hosts=daemon.known_hosts), daemon.url(path)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def mirrored(host: HostedGit, path: Path, mirrors: Mirrors, url: str) -> Place:
    """What other tools make is put into the remote; objects nothing leads to, which cannot be fetched, here too."""
    host.place({"search/ranker": url})
    repo = mirrors.at(url)
    repo.fetch()
    (copy,) = (path.parents[1] / "mirrors").glob("*.git")

    def put(*made: ShaFile) -> None:
        for folder in (path, copy):
            DiskObjects(folder).write(made, packed=False)

    def tag(name: str, oid: str) -> None:
        (path / "refs/tags" / name).write_text(f"{oid}\n")
        repo.fetch()

    return Place(host, repo, put, tag)


def text(repo: Repository, commit: str, path: str = "artifacts.yml") -> bytes:
    found = repo.file(commit, path)
    assert found is not None
    assert found.kind == "file"
    return repo.blob(found.oid, 1 << 20)


# ── Hosts ────────────────────────────────────────────────────────────────────────────────────


def test_a_created_repository_holds_its_first_commit_on_the_default_branch(place: Place) -> None:
    assert place.repo.refs().default == "main"
    assert place.repo.refs().heads == {"main": place.tip}
    assert place.repo.commit(place.tip).parents == ()
    assert text(place.repo, place.tip) == b"a: 1\n"


@pytest.mark.parametrize("name", ["search/ranker", "Search/ranker", "search/RANKER"])
def test_a_name_that_differs_in_case_only_is_taken(place: Place, name: str) -> None:
    with pytest.raises(RepositoryExistsError):
        place.host.create(name, "main", new())


def test_a_project_may_have_the_name_of_another_ones_folder(place: Place) -> None:
    place.host.create("search", "trunk", new("b: 2\n"))
    assert place.host.repository("search").refs().default == "trunk"
    assert place.host.repository("search/ranker").refs().default == "main"


def test_an_unknown_repository_is_not_found(place: Place) -> None:
    with pytest.raises(RepositoryNotFoundError):
        place.host.repository("search/unknown")


# ── Refs ─────────────────────────────────────────────────────────────────────────────────────


def test_tags_are_peeled_and_tags_of_anything_but_commits_left_out(place: Place) -> None:
    annotated = Tag.from_string(f"object {place.tip}\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nm".encode())
    outer = Tag.from_string(b"object %b\ntype tag\ntag v2\ntagger A <a@b> 1 +0000\n\nm" % annotated.id)
    blob = Blob.from_string(b"x")
    place.put(annotated, outer, blob)
    for name, oid in (("v1", annotated.id), ("v2", outer.id), ("light", place.tip.encode()), ("blob", blob.id)):
        place.tag(name, oid.decode())
    assert place.repo.refs().tags == {"v1": place.tip, "v2": place.tip, "light": place.tip}


def test_the_default_branch_is_named_though_it_is_gone(place: Place) -> None:
    place.repo.delete_branch("main", place.tip)
    assert place.repo.refs().default == "main"
    assert place.repo.refs().heads == {}
    assert place.repo.head("main") is None


@pytest.mark.parametrize("name", ["feature/eval/v2", "größe-測試", "a.b", "x" * 200])
def test_a_branch_of_any_name_git_takes_can_be_made_read_written_and_deleted(place: Place, name: str) -> None:
    place.repo.create_branch(name, place.tip)
    (oid,) = place.repo.write_commits(name, place.tip, [new("b: 2\n")])
    assert place.repo.refs().heads == {"main": place.tip, name: oid}
    place.repo.delete_branch(name, oid)
    assert place.repo.refs().heads == {"main": place.tip}


@pytest.mark.parametrize("name", ["../HEAD", "a..b", "", "a.lock", "a//b", "\ud800", "y" * 300])
def test_a_name_git_does_not_take_is_no_branch_and_cannot_be_made(place: Place, name: str) -> None:
    assert place.repo.head(name) is None
    with pytest.raises(RefConflictError):
        place.repo.create_branch(name, place.tip)
    with pytest.raises(RefConflictError):
        place.repo.write_commits(name, None, [new()])


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a"), ("a", "a")])
def test_a_branch_cannot_stand_where_another_one_or_its_folder_is(place: Place, names: tuple[str, str]) -> None:
    place.repo.create_branch(names[0], place.tip)
    with pytest.raises(RefConflictError):
        place.repo.create_branch(names[1], place.tip)
    assert set(place.repo.refs().heads) == {"main", names[0]}


def test_a_branch_can_stand_where_a_deleted_ones_folder_was(place: Place) -> None:
    place.repo.create_branch("a/b/c", place.tip)
    place.repo.delete_branch("a/b/c", place.tip)
    place.repo.create_branch("a", place.tip)
    assert place.repo.head("a") == place.tip


def test_a_deleted_branch_can_be_made_again_elsewhere(place: Place) -> None:
    (second,) = place.repo.write_commits("topic", None, [new("b: 2\n")])
    place.repo.delete_branch("topic", second)
    place.repo.create_branch("topic", place.tip)
    assert place.repo.head("topic") == place.tip


def test_a_branch_that_moved_is_not_deleted(place: Place) -> None:
    with pytest.raises(RefMovedError):
        place.repo.delete_branch("main", NOWHERE)
    with pytest.raises(RefMovedError):
        place.repo.delete_branch("main/x", place.tip)
    assert place.repo.head("main") is not None


def test_a_branch_cannot_be_made_at_what_is_no_commit(place: Place) -> None:
    for oid in (NOWHERE, place.repo.commit(place.tip).tree, "HEAD"):
        with pytest.raises(CommitNotFoundError):
            place.repo.create_branch("topic", oid)


def test_the_fingerprint_changes_with_every_change_of_a_ref_and_with_nothing_else(place: Place) -> None:
    seen = [place.repo.fingerprint()]

    def changed() -> bool:
        seen.append(place.repo.fingerprint())
        assert seen[-1] == place.repo.fingerprint()
        return seen[-1] not in seen[:-1]

    place.repo.refs()
    place.put(Blob.from_string(b"unrelated"))
    assert not changed()
    for number in range(20):
        place.repo.write_commits("main", place.tip, [new(f"a: {number}\n")])
        assert changed()
    place.repo.create_branch("a/b", place.tip)
    assert changed()
    place.tag("v1", place.tip)
    assert changed()
    place.repo.write_commits("topic", None, [new("c: 1\n")])
    assert changed()


# ── Reading ──────────────────────────────────────────────────────────────────────────────────


def test_unknown_ids_are_said_to_be_unknown(place: Place) -> None:
    tree = place.repo.commit(place.tip).tree
    for oid in (NOWHERE, tree, "main", "", "../" * 10, "Z" * 40):
        with pytest.raises(CommitNotFoundError):
            place.repo.commit(oid)
        with pytest.raises(CommitNotFoundError):
            place.repo.file(oid, "artifacts.yml")
        with pytest.raises(BlobNotFoundError):
            place.repo.blob(oid, 100)


def test_a_missing_path_is_none(place: Place) -> None:
    for path in ("other.yml", "artifacts.yml/x", "a/b.yml", ""):
        assert place.repo.file(place.tip, path) is None


def test_links_submodules_and_folders_are_reported_and_never_followed(place: Place) -> None:
    target, folder = Blob.from_string(b"real.yml"), Tree()
    folder.add(b"in.yml", 0o100644, target.id)
    module = Commit.from_string(b"tree %b\n\nx" % (b"1" * 40))
    commit = place.tree(
        (b"link", 0o120000, target), (b"mod", 0o160000, module), (b"dir", 0o040000, folder), (b"exe", 0o100755, target)
    )
    assert place.repo.file(commit, "link") == TreeFile(target.id.decode(), "symlink")
    assert place.repo.file(commit, "mod") == TreeFile(module.id.decode(), "submodule")
    assert [place.repo.file(commit, path) for path in ("link/x.yml", "mod/x.yml", "exe/x.yml")] == [None] * 3
    assert place.repo.file(commit, "dir") == TreeFile(folder.id.decode(), "tree")
    assert place.repo.file(commit, "dir/in.yml") == TreeFile(target.id.decode(), "file")
    assert place.repo.file(commit, "exe") == TreeFile(target.id.decode(), "file")


def test_a_blob_above_the_limit_is_refused_with_its_size(place: Place) -> None:
    blob = Blob.from_string(b"x" * 1001)
    place.put(blob)
    assert len(place.repo.blob(blob.id.decode(), 1001)) == 1001
    with pytest.raises(BlobTooLargeError) as refusal:
        place.repo.blob(blob.id.decode(), 1000)
    assert refusal.value.size == 1001


@pytest.mark.parametrize(
    ("author", "name", "email", "moment"),
    [
        (b"Z\xc3\xb6e <z@x> 86400 +0530", "Zöe", "z@x", "1970-01-02T05:30:00+05:30"),
        (b"A <a@b> 0 -0000", "A", "a@b", "1970-01-01T00:00:00+00:00"),
        (b"A <a@b> 0 -0130", "A", "a@b", "1969-12-31T22:30:00-01:30"),
        (b"A <a@b> 0 +9999", "A", "a@b", "1970-01-01T23:59:00+23:59"),
        (b"A <a@b> 99999999999999999 +0000", "A", "a@b", "9999-12-29T00:00:00+00:00"),
        (b"A <a@b> -99999999999999999 -1200", "A", "a@b", "0001-01-02T12:00:00-12:00"),
        (b"A <a@b>", "A", "a@b", "1970-01-01T00:00:00+00:00"),
        (b"A \xff <a@b> then +0000", "A \ufffd", "a@b", "1970-01-01T00:00:00+00:00"),
        (b"nobody", "nobody", "", "1970-01-01T00:00:00+00:00"),
        (b"", "", "", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_whatever_stands_in_a_commits_author_can_be_read(
    place: Place, author: bytes, name: str, email: str, moment: str
) -> None:
    blob = Blob.from_string(b"tree %b\nauthor %b\ncommitter %b\n\nx" % (b"1" * 40, author, author))
    record = read_raw_commit(place, blob.data)
    assert (record.author.name, record.author.email, record.author.at.isoformat()) == (name, email, moment)
    assert record.committer == record.author


@pytest.mark.parametrize(
    ("encoding", "raw", "message"),
    [
        (b"", b"na\xc3\xafve", "naïve"),
        (b"", b"\xff\xfe", "\ufffd\ufffd"),
        (b"encoding ISO-8859-1\n", b"na\xefve", "naïve"),
        (b"encoding klingon\n", b"na\xc3\xafve", "naïve"),
        (b"encoding hex\n", b"zz", "zz"),
        (b"gpgsig -----BEGIN\n \n parent x\n -----END\n", b"signed\n\nbody\n", "signed\n\nbody\n"),
    ],
)
def test_a_message_in_any_encoding_can_be_read(place: Place, encoding: bytes, raw: bytes, message: str) -> None:
    record = read_raw_commit(
        place, b"tree %b\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n%b\n%b" % (b"1" * 40, encoding, raw)
    )
    assert record.message == message


class RawCommit(Blob):
    """A commit of any bytes, which dulwich itself would refuse to read."""

    type_name = b"commit"
    type_num = 1


def read_raw_commit(place: Place, raw: bytes):  # noqa: ANN201 - a CommitRecord
    commit = RawCommit.from_string(raw)
    place.put(commit)
    return place.repo.commit(commit.id.decode())


def test_a_garbled_commit_is_a_corrupt_repository(place: Place) -> None:
    with pytest.raises(RepositoryCorruptError, match="garbled"):
        read_raw_commit(place, b"no tree here\n\nx")


def test_a_missing_tree_is_a_corrupt_repository(place: Place) -> None:
    commit = RawCommit.from_string(b"tree %b\nauthor A <a@b> 0 +0000\n\nx" % (b"1" * 40))
    place.put(commit)
    with pytest.raises(RepositoryCorruptError, match="missing"):
        place.repo.file(commit.id.decode(), "artifacts.yml")


# ── Writing ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_commits_are_chained_onto_the_branch(place: Place, count: int) -> None:
    start = place.tip
    ids = place.repo.write_commits(
        "main", start, [new(f"a: {number}\n", message=f"{number}") for number in range(count)]
    )
    assert place.repo.head("main") == ids[-1]
    assert [place.repo.commit(oid).parents for oid in ids] == [(parent,) for parent in (start, *ids[:-1])]
    assert [text(place.repo, oid) for oid in ids] == [f"a: {number}\n".encode() for number in range(count)]


def test_writing_nothing_moves_nothing(place: Place) -> None:
    assert place.repo.write_commits("main", place.tip, []) == ()
    assert place.repo.write_commits("topic", None, []) == ()
    assert place.repo.head("topic") is None


def test_a_commit_is_read_as_it_was_written(place: Place) -> None:
    other = Signature("Grace", "grace@example.org", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    (oid,) = place.repo.write_commits("main", place.tip, [NewCommit({"a": b"x"}, "Ünï\n\nKey: värde", WHO, other)])
    record = place.repo.commit(oid)
    assert (record.author, record.committer, record.message) == (WHO, other, "Ünï\n\nKey: värde")
    assert record.author.at.utcoffset() == timedelta(hours=2)


def test_a_name_cannot_break_out_of_its_line(place: Place) -> None:
    evil = Signature(
        "Eve <root@x>\nparent 1\x00", "e>v\ne@x", datetime(1901, 1, 1, tzinfo=timezone(timedelta(seconds=90)))
    )
    (oid,) = place.repo.write_commits("main", place.tip, [new(who=evil, message="a\x00b\ud800")])
    record = place.repo.commit(oid)
    assert (record.author.name, record.author.email, record.message) == ("Eve root@x parent 1", "eve@x", "ab?")
    assert record.author.at.timestamp() == 0


def test_a_branch_elsewhere_than_expected_is_not_moved_and_nothing_is_visible(place: Place) -> None:
    start = place.tip
    (second,) = place.repo.write_commits("main", start, [new("b: 2\n")])
    before = place.repo.fingerprint()
    for branch, expected in (("main", start), ("main", None), ("main", NOWHERE), ("topic", start)):
        with pytest.raises(RefMovedError):
            place.repo.write_commits(branch, expected, [new("c: 3\n")])
    assert place.repo.refs().heads == {"main": second}
    assert place.repo.fingerprint() == before


def test_a_new_branch_begins_with_a_commit_without_parents(place: Place) -> None:
    first, second = place.repo.write_commits("topic", None, [new("x: 1\n"), new("x: 2\n")])
    assert place.repo.commit(first).parents == ()
    assert place.repo.head("topic") == second


def test_every_other_file_keeps_its_bytes_and_its_mode(place: Place) -> None:
    blob, folder = Blob.from_string(b"\x00\xff bytes"), Tree()
    folder.add(b"deep", 0o100755, blob.id)
    module = Commit.from_string(b"tree %b\n\nx" % (b"1" * 40))
    entries = (
        (b"run.sh", 0o100755, blob),
        (b"link", 0o120000, blob),
        (b"mod", 0o160000, module),
        (b"dir", 0o40000, folder),
    )
    start = place.tree(*entries)
    place.put(blob)
    (oid,) = place.repo.write_commits(
        "foreign", start, [NewCommit({"run.sh": b"new", "dir/a/b.yml": b"x"}, "m", WHO, WHO)]
    )
    for path in ("link", "mod", "dir/deep"):
        assert place.repo.file(oid, path) == place.repo.file(start, path)
    tree = Tree.from_string(raw_tree(place, place.repo.commit(oid).tree))
    assert [(name, tree[name][0]) for name in (b"run.sh", b"link", b"mod", b"dir")] == [
        (name, mode) for name, mode, _ in entries
    ]
    assert text(place.repo, oid, "run.sh") == b"new"
    assert text(place.repo, oid, "dir/a/b.yml") == b"x"


def raw_tree(place: Place, oid: str) -> bytes:
    repo = getattr(place.repo, "_copy", place.repo)
    objects = getattr(repo, "objects", None) or repo._objects  # noqa: SLF001 - modes are not in the port
    return objects.find(oid).load()


@pytest.mark.parametrize("path", ["link", "link/a.yml", "dir", "file/a.yml", "mod", "dir/in.yml/x"])
def test_nothing_but_a_file_is_ever_replaced(place: Place, path: str) -> None:
    blob, folder = Blob.from_string(b"x"), Tree()
    folder.add(b"in.yml", 0o100644, blob.id)
    module = Commit.from_string(b"tree %b\n\nx" % (b"1" * 40))
    start = place.tree(
        (b"link", 0o120000, blob), (b"mod", 0o160000, module), (b"dir", 0o040000, folder), (b"file", 0o100644, blob)
    )
    with pytest.raises(PathConflictError):
        place.repo.write_commits("foreign", start, [new(path=path)])
    assert place.repo.head("foreign") == start


def test_racing_writers_lose_nothing(place: Place) -> None:
    written: list[str] = []

    def write(number: int) -> None:
        repo = place.host.repository("search/ranker")
        for turn in range(5):
            while True:
                head = repo.head("main")
                try:
                    written.extend(repo.write_commits("main", head, [new(f"a: {number}.{turn}\n")]))
                    break
                except RefMovedError:
                    continue

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history, oid = [], place.tip
    while place.repo.commit(oid).parents:
        history.append(oid)
        (oid,) = place.repo.commit(oid).parents
    assert len(history) == 40
    assert set(history) == set(written)


def test_a_repository_of_many_packs_holds_no_file_open(tmp_path: Path) -> None:
    hosted = HostedGit(tmp_path)
    hosted.create("a", "main", new())
    repository = hosted.repository("a")
    for _ in range(60):
        repository.write_commits("main", repository.head("main"), [new(), new(), new()])
    assert len(list((tmp_path / "a.git/objects/pack").glob("*.pack"))) >= 60
    open_files = list(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else []
    held = [link for link in open_files if os.path.realpath(link).startswith(str(tmp_path))]
    assert held == []
