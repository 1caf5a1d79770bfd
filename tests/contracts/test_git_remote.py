"""What a repository that lies elsewhere does beyond the port: one sentence each, against stock git."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob

from app.stores.errors import (
    BlobNotFoundError,
    CommitNotFoundError,
    RefConflictError,
    RefMovedError,
    RemoteRefusedError,
    RepositoryCorruptError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git.credentials import Credentials
from app.stores.git.disk import DiskObjects
from app.stores.git.hosted import HostedGit
from app.stores.git.mirrored import MirroredRepository, Mirrors
from tests.support.git import git, push_file
from tests.support.githttp import bare, decline
from tests.support.world import World, a_world, new


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


# ── Following ────────────────────────────────────────────────────────────────────────────────


def test_a_mirror_that_was_never_fetched_is_fetched_when_its_refs_are_read(world: World) -> None:
    repo = world.replica("one")
    assert world.server.requests() == []
    assert repo.refs().heads == {"main": world.tip()}


def test_a_fetch_with_nothing_new_is_one_request_on_the_same_connection(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    world.server.requests()
    repo.fetch()
    assert world.server.requests() == ["POST /ranker.git/git-upload-pack"]
    assert world.server.moods.connections == 1


def test_a_fetch_brings_only_what_is_new(world: World) -> None:
    (world.person / "big.bin").write_bytes(bytes(range(256)) * 2000 + os.urandom(300_000))
    git("add", ".", at=world.person)
    push_file(world.person, "artifacts.yml", b"a: 2\n")
    repo = world.replica("one")
    repo.fetch()
    oid = push_file(world.person, "artifacts.yml", b"a: 3\n")
    world.server.moods.sent = 0
    repo.fetch()
    assert world.server.moods.sent < 5000
    assert repo.head("main") == oid
    assert repo.file(oid, "big.bin") is not None
    git("fsck", "--full", at=world.mirror("one"))


def test_branches_and_tags_follow_also_where_one_takes_the_place_of_anothers_folder(world: World) -> None:
    repo = world.replica("one")
    for made, deleted in (("a", None), ("a/b", "a"), ("a/b/c", "a/b"), ("a", "a/b/c")):
        if deleted:
            git("push", "--quiet", "origin", f":refs/heads/{deleted}", f":refs/tags/{deleted}", at=world.person)
        git("push", "--quiet", "origin", f"main:refs/heads/{made}", f"main:refs/tags/{made}", at=world.person)
        repo.fetch()
        assert repo.refs().heads == {"main": world.tip(), made: world.tip()}
        assert repo.refs().tags == {made: world.tip()}


def test_other_refs_stay_where_they_are(world: World) -> None:
    for ref in ("refs/merge-requests/1/head", "refs/pull/1/head", "refs/notes/x"):
        git("update-ref", ref, world.tip(), at=world.origin)
    repo = world.replica("one")
    repo.fetch()
    assert git("for-each-ref", "--format=%(refname)", at=world.mirror("one")) == "refs/heads/main"


def test_a_renamed_default_branch_is_followed(world: World) -> None:
    repo = world.replica("one")
    assert repo.refs().default == "main"
    git("branch", "-m", "main", "trunk", at=world.origin)
    repo.fetch()
    assert repo.refs().default == "trunk"
    assert repo.refs().heads == {"trunk": world.tip("trunk")}


@pytest.mark.parametrize("protocols", ["2", "0"])
def test_a_head_that_names_no_branch_leaves_the_last_known_or_a_usual_one(world: World, protocols: str) -> None:
    world.server.moods.protocols = protocols
    for branch in ("z", "master", "b"):
        git("branch", branch, "main", at=world.origin)
    repo = world.replica("one")
    git("symbolic-ref", "HEAD", "refs/heads/z", at=world.origin)
    repo.fetch()
    git("symbolic-ref", "HEAD", "refs/heads/gone", at=world.origin)
    repo.fetch()
    assert repo.refs().default == "z"
    assert world.replica("two").refs().default == "main"
    git("update-ref", "-d", "refs/heads/main", at=world.origin)
    assert world.replica("three").refs().default == "master"
    git("update-ref", "-d", "refs/heads/master", at=world.origin)
    assert world.replica("four").refs().default == "b"


@pytest.mark.parametrize("protocols", ["2", "0"])
def test_an_empty_repository_is_followed_until_it_has_a_first_commit(world: World, protocols: str) -> None:
    world.server.moods.protocols = protocols
    bare(world.root / "origin", "empty")
    repo = Mirrors(world.root / "one", Credentials(world.server.listed)).at(world.server.url("empty"))
    assert (repo.refs().default, repo.refs().heads) == ("main", {})
    (oid,) = repo.write_commits("main", None, [new("first")])
    assert git("rev-parse", "main", at=world.root / "origin/empty.git") == oid
    assert repo.refs().heads == {"main": oid}


def test_a_server_that_knows_no_protocol_2_is_followed_and_pushed_to(world: World) -> None:
    world.server.moods.protocols = "0"
    repo = world.replica("one")
    repo.fetch()
    oid = push_file(world.person, "artifacts.yml", b"a: 2\n")
    repo.fetch()
    (ours,) = repo.write_commits("main", oid, [new("b")])
    assert world.tip() == ours
    git("fsck", "--full", at=world.mirror("one"))


def test_a_forced_push_is_followed_and_so_is_a_branch_deleted_and_made_again(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    git("checkout", "--quiet", "--orphan", "new", at=world.person)
    git("commit", "--quiet", "-m", "From the beginning", at=world.person)
    git("push", "--quiet", "--force", "origin", "new:main", at=world.person)
    repo.fetch()
    assert repo.head("main") == world.tip()
    git("update-ref", "-d", "refs/heads/main", at=world.origin)
    repo.fetch()
    assert repo.head("main") is None
    push_file(world.person, "artifacts.yml", b"c: 1\n")
    repo.fetch()
    assert repo.head("main") == world.tip()


def test_two_projects_on_one_url_share_a_mirror(world: World) -> None:
    mirrors = Mirrors(world.root / "mirrors", Credentials(world.server.listed))
    host = HostedGit(world.root / "git", mirrors)
    host.place(dict.fromkeys(("a", "b"), world.server.url("ranker")))
    assert host.repository("a") is host.repository("b") is mirrors.at(world.server.url("ranker"))
    with pytest.raises(RepositoryNotFoundError):
        host.repository("c")


def test_readers_who_wait_share_one_look(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    world.server.requests()
    world.server.moods.slow = 0.3
    threads = [threading.Thread(target=repo.fetch) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.server.requests()) <= 2


def test_nothing_is_asked_when_a_look_began_after_the_moment_named(world: World) -> None:
    repo, before = world.replica("one"), time.monotonic()
    repo.fetch()
    world.server.requests()
    repo.fetch(before)
    assert world.server.requests() == []
    repo.fetch(time.monotonic())
    assert len(world.server.requests()) == 1


# ── Reading what another replica wrote ───────────────────────────────────────────────────────


def test_a_commit_another_replica_has_pushed_is_found_at_once(world: World) -> None:
    one, two = world.replica("one"), world.replica("two")
    two.fetch()
    for number in range(5):
        (oid,) = one.write_commits("main", one.head("main"), [new(f"{number}")])
        assert two.commit(oid).message == f"{number}\n"
        found = two.file(oid, "artifacts.yml")
        assert found
        assert two.blob(found.oid, 100) == f"{number}".encode()
        (later,) = one.write_commits("main", oid, [new(f"more {number}")])
        assert later in [commit for part in two.trace("artifacts.yml", later, (), ()) for commit in part.oids]


def test_many_readers_of_what_is_nowhere_cause_few_looks(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    world.server.requests()
    begun = time.monotonic()

    def read(number: int) -> None:
        with pytest.raises(CommitNotFoundError):
            repo.commit(f"{number:040x}")

    threads = [threading.Thread(target=read, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looks = len(world.server.requests()) - len(threads)  # each is asked for once by its id
    assert looks <= (time.monotonic() - begun) / 0.25 + 1


def forced_away(world: World) -> str:
    """A commit that was on the main branch for a moment, and to which nothing leads now."""
    oid = push_file(world.person, "artifacts.yml", b"for: a moment\n")
    git("push", "--quiet", "--force", "origin", f"{oid}~1:main", at=world.person)
    return oid


def test_a_commit_that_was_forced_away_before_anybody_looked_is_asked_for_by_its_id(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    oid = forced_away(world)
    assert repo.commit(oid).parents == (world.tip(),)
    found = repo.file(oid, "artifacts.yml")
    assert found
    assert repo.blob(found.oid, 100) == b"for: a moment\n"
    assert repo.refs().heads == {"main": world.tip()}
    world.server.requests()
    repo.commit(oid)
    assert world.server.requests() == []


def test_a_server_that_does_not_give_what_no_ref_leads_to_is_not_told_from_one_that_has_it_no_more(
    world: World,
) -> None:
    world.server.moods.protocols = "0"
    repo = world.replica("one")
    repo.fetch()
    with pytest.raises(CommitNotFoundError):
        repo.commit(forced_away(world))
    assert repo.refs().heads == {"main": world.tip()}
    repo.fetch()


# ── Writing ──────────────────────────────────────────────────────────────────────────────────


def test_a_push_is_one_request_whatever_number_of_commits_it_brings(world: World) -> None:
    repo = world.replica("one")
    repo.write_commits("main", repo.head("main"), [new("first")])
    world.server.requests()
    ids = repo.write_commits("main", repo.head("main"), [new(f"{number}") for number in range(32)])
    assert world.server.requests() == ["POST /ranker.git/git-receive-pack"]
    assert world.tip() == ids[-1] == repo.head("main")
    git("fsck", "--full", at=world.origin)
    git("fsck", "--full", at=world.mirror("one"))


def test_a_lost_race_leaves_the_mirror_up_to_date(world: World) -> None:
    repo = world.replica("one")
    start = repo.head("main")
    oid = push_file(world.person, "artifacts.yml", b"by: hand\n")
    with pytest.raises(RefMovedError):
        repo.write_commits("main", start, [new("late")])
    assert repo.head("main") == oid == world.tip()
    with pytest.raises(RefMovedError):
        repo.delete_branch("main", str(start))
    git("branch", "topic", "main", at=world.origin)
    with pytest.raises(RefConflictError):
        repo.create_branch("topic", oid)
    with pytest.raises(RefConflictError):
        repo.create_branch("topic/x", oid)


def test_a_mirror_that_is_behind_looks_before_it_says_that_a_branch_moved(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    oid = push_file(world.person, "artifacts.yml", b"by: hand\n")
    (ours,) = repo.write_commits("main", oid, [new("after")])
    assert world.tip() == ours


def test_writers_in_two_processes_lose_nothing_and_write_nothing_twice(world: World) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, world.root / name, world.server.url("ranker"), world.server.listed, name],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    written = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(written) == 40
    messages = git("log", "--format=%s", "main", at=world.origin).splitlines()
    assert sorted(messages) == sorted([*written, "By hand"])


WRITER = """
import sys
from datetime import UTC, datetime
from collections.abc import Iterator
from pathlib import Path
from app.stores.errors import RefMovedError
from app.stores.git.credentials import Credentials
from app.stores.git.mirrored import Mirrors
from app.stores.ports import NewCommit, Signature
root, url, hosts, name = sys.argv[1:]
repo = Mirrors(Path(root), Credentials(Path(hosts))).at(url)
for number in range(20):
    while True:
        who = Signature(name, "x@y", datetime.now(UTC))
        try:
            new = NewCommit({name: b"%d" % number}, f"{name}-{number}", who, who)
            repo.write_commits("main", repo.head("main"), [new])
        except RefMovedError:
            continue
        print(f"{name}-{number}")
        break
"""


def test_processes_that_share_a_mirror_lose_nothing(world: World) -> None:
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITER,
                world.root / "shared",
                world.server.url("ranker"),
                world.server.listed,
                name,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    written = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert sorted(git("log", "--format=%s", "main", at=world.origin).splitlines()) == sorted([*written, "By hand"])
    assert git("rev-parse", "main", at=world.mirror("shared")) == world.tip()


def test_a_look_does_not_take_back_what_a_push_did_meanwhile(world: World) -> None:
    repo = world.replica("one")
    start, written = repo.head("main"), []
    git("tag", "v1", "main", at=world.origin)
    git("branch", "topic", "main", at=world.origin)
    repo.fetch()
    git("tag", "v2", "main", at=world.origin)
    git("branch", "fresh", "main", at=world.origin)

    def push() -> None:
        git("branch", "-D", "fresh", at=world.origin)
        written.extend(repo.write_commits("fresh", None, [new("again")]))
        written.extend(repo.write_commits("main", start, [new("meanwhile")]))
        repo.delete_branch("topic", str(start))
        repo.create_branch("other", str(start))

    world.server.moods.listed = push
    repo.fetch()
    assert repo.refs().heads == {"fresh": written[0], "main": written[1], "other": start}
    assert repo.refs().tags == {"v1": start, "v2": start}
    repo.fetch()
    assert repo.refs().heads == {"fresh": written[0], "main": written[1], "other": start}


def test_replicas_that_make_a_shared_mirror_at_once_make_it_once(world: World) -> None:
    repos = [world.replica("shared") for _ in range(6)]
    threads = [threading.Thread(target=repo.refs) for repo in repos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [repo.head("main") for repo in repos] == [world.tip()] * 6
    assert {path.suffix for path in (world.root / "shared").iterdir()} == {".git", ".lock"}


def test_what_a_killed_process_left_of_a_new_mirror_is_taken_away(world: World) -> None:
    repo = world.replica("one")
    repo.fetch()
    mirror = world.mirror("one")
    mirror.rename(mirror.with_suffix(".old"))
    (mirror.with_suffix(".new") / "objects/pack").mkdir(parents=True)
    assert repo.head("main") == world.tip()
    assert {path.suffix for path in mirror.parent.iterdir()} == {".git", ".lock"}


# ── Mirrors come to harm ─────────────────────────────────────────────────────────────────────


def test_a_mirror_deleted_while_the_process_runs_is_made_again(world: World) -> None:
    repo = world.replica("one")
    oid = repo.head("main")
    shutil.rmtree(world.mirror("one"))
    assert repo.head("main") == oid
    shutil.rmtree(world.mirror("one"))
    assert repo.commit(str(oid)).oid == oid
    shutil.rmtree(world.mirror("one"))
    (ours,) = repo.write_commits("main", oid, [new("on")])
    assert world.tip() == ours == repo.head("main")


@pytest.mark.parametrize("harm", ["garbled ref", "garbled packed refs", "no HEAD", "HEAD of nothing"])
def test_a_mirror_whose_refs_are_garbled_is_made_again_by_the_next_look(world: World, harm: str) -> None:
    repo = world.replica("one")
    oid = repo.head("main")
    mirror = world.mirror("one")
    if harm == "garbled ref":
        (mirror / "refs/heads/main").write_text("nonsense\n")
    elif harm == "garbled packed refs":
        (mirror / "packed-refs").write_text("nonsense\n")
    elif harm == "no HEAD":
        (mirror / "HEAD").unlink()
    else:
        (mirror / "HEAD").write_text("nonsense\n")
    repo.fetch()
    assert repo.refs().heads == {"main": oid}
    git("fsck", "--full", at=mirror)


@pytest.mark.parametrize("harm", ["bytes", "objects", "blob"])
def test_a_mirror_whose_objects_are_damaged_is_made_again_once_somebody_noticed(world: World, harm: str) -> None:
    repo = world.replica("one")
    oid = str(repo.head("main"))
    mirror = world.mirror("one")
    found = repo.file(oid, "artifacts.yml")
    assert found
    if harm == "objects":
        shutil.rmtree(mirror / "objects")
        (mirror / "objects/pack").mkdir(parents=True)
    elif harm == "blob":
        (mirror / "objects" / found.oid[:2] / found.oid[2:]).unlink()
    else:
        for path in (mirror / "objects").glob("??/*"):
            path.chmod(0o644)
            path.write_bytes(b"nonsense")
    with pytest.raises((RepositoryCorruptError, StoreError)):
        repo.blob(repo.file(oid, "artifacts.yml").oid, 100)  # type: ignore[union-attr]
    repo.fetch()
    assert repo.blob(found.oid, 100) == b"a: 1\n"
    git("fsck", "--full", at=mirror)


def damaged(world: World) -> MirroredRepository:
    """A replica that makes its mirror again at the next look."""
    repo = world.replica("one")
    file = repo.file(str(repo.head("main")), "artifacts.yml")
    assert file
    (world.mirror("one") / "objects" / file.oid[:2] / file.oid[2:]).unlink()
    with pytest.raises(BlobNotFoundError):
        repo.blob(file.oid, 100)
    return repo


def test_what_is_pushed_while_a_mirror_is_made_again_is_in_it(world: World) -> None:
    repo, written = damaged(world), list[str]()
    world.server.moods.listed = lambda: written.extend(repo.write_commits("main", repo.head("main"), [new("late")]))
    repo.fetch()
    assert [repo.head("main")] == written == [world.tip()]
    git("fsck", "--full", at=world.mirror("one"))


def test_a_push_through_a_mirror_that_is_made_again_before_it_arrives_leads_to_nothing_that_is_not_here(
    world: World,
) -> None:
    world.server.moods.protocols = "0"
    repo = damaged(world)
    world.server.moods.before = repo.fetch
    (oid,) = repo.write_commits("main", repo.head("main"), [new("ours")])
    git("fsck", "--full", at=world.mirror("one"))
    assert repo.commit(oid).oid == oid == repo.head("main") == world.tip()


def test_a_repository_that_is_gone_is_said_to_be_gone_and_comes_back(world: World) -> None:
    repo = world.replica("one")
    oid = repo.head("main")
    world.origin.rename(world.root / "away")
    with pytest.raises(RepositoryNotFoundError, match="has no repository"):
        repo.fetch()
    with pytest.raises(RepositoryNotFoundError):
        repo.write_commits("main", oid, [new("x")])
    assert repo.refs().heads == {"main": oid}
    (world.root / "away").rename(world.origin)
    repo.fetch()
    (ours,) = repo.write_commits("main", oid, [new("y")])
    assert world.tip() == ours


# ── Mirrors grow ─────────────────────────────────────────────────────────────────────────────


def age(folder: Path, hours: int) -> None:
    """Have what is there been written some time ago."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - hours * 3600,) * 2)


def loose(copy: Path) -> set[str]:
    return {path.parent.name + path.name for path in copy.glob("objects/??/*")}


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.git.mirror.MOST_LOOSE", 20)
    monkeypatch.setattr("app.stores.git.mirror.COUNTED_EVERY", 0.0)


@pytest.mark.usefixtures("crowd")
def test_a_crowded_mirror_is_tidied_and_keeps_what_a_branch_leads_to_or_is_on_its_way(world: World) -> None:
    (world.person / "big.bin").write_bytes(os.urandom(2_000_000))
    git("add", ".", at=world.person)
    repo, written = world.replica("one"), [push_file(world.person, "artifacts.yml", b"a: 2\n")]
    decline(world.origin)
    with pytest.raises(RemoteRefusedError):
        repo.write_commits("main", repo.head("main"), [new("refused")])
    (world.origin / "hooks/pre-receive").unlink()
    for number in range(15):
        written += repo.write_commits("main", repo.head("main"), [new(f"{number}")])
    copy, coming = world.mirror("one"), Blob.from_string(b"on its way")
    age(copy / "objects", hours=2)
    DiskObjects(copy).write([coming], packed=False)
    written += world.replica("two").write_commits("main", written[-1], [new("by another")])
    repo.fetch()
    assert loose(copy) <= {coming.id.decode(), *git("rev-list", "--objects", f"{written[-1]}^!", at=copy).split()}
    assert DiskObjects(copy).find(coming.id.decode())
    assert len(list(copy.glob("objects/pack/*"))) == 2
    git("fsck", "--full", at=copy)
    assert [repo.commit(oid).oid for oid in written] == written
    assert repo.refs().heads == {"main": written[-1]}


@pytest.mark.usefixtures("crowd")
def test_a_mirror_is_read_and_pushed_through_while_it_is_tidied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.git.mirror.MOST_LOOSE", -1)
    monkeypatch.setattr("app.stores.git.mirror.ON_ITS_WAY", 1.0)
    repo, written, errors, until = world.replica("one"), list[str](), list[Exception](), time.monotonic() + 4
    repo.fetch()

    def keep(work: Callable[[], object]) -> None:
        try:
            while time.monotonic() < until:
                work()
        except Exception as error:  # noqa: BLE001 (whatever it is, the test fails)
            errors.append(error)

    def write() -> None:
        many = [new(f"{len(written)} {number}") for number in range(1 + len(written) % 4)]
        written.extend(repo.write_commits("main", repo.head("main"), many))

    def read() -> None:
        oid = repo.refs().heads["main"]
        file = repo.file(oid, "artifacts.yml")
        assert file
        repo.blob(file.oid, 100)

    threads = [threading.Thread(target=keep, args=(work,)) for work in (write, read, repo.fetch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert repo.head("main") == world.tip() == written[-1]
    git("fsck", "--full", at=world.mirror("one"))


def test_the_mirror_of_a_project_that_is_gone_is_removed_when_nobody_has_used_it_for_a_day(world: World) -> None:
    root, url = world.root / "mirrors", world.server.url("ranker")
    Mirrors(root, Credentials(world.server.listed)).at(url).fetch()
    (copy,) = root.glob("*.git")
    (root / "mine.git").mkdir()

    def start(*urls: str) -> bool:
        host = HostedGit(world.root / "git", Mirrors(root, Credentials(world.server.listed)))
        host.place({f"p{number}": url for number, url in enumerate(urls)})
        return copy.exists()

    assert start()
    age(root, hours=25)
    assert start(url, "nonsense:")
    assert not start()
    assert (root / "mine.git").is_dir()
    Mirrors(root, Credentials(world.server.listed)).at(url).fetch()
    assert start()
