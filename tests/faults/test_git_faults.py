"""Hosted repositories when writers are killed, locks are left behind, and disks refuse."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich.objects import Blob

from app.stores import durable
from app.stores.errors import (
    RefMovedError,
    RepositoryBusyError,
    RepositoryCorruptError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git import disk, locks
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.ports import NewCommit, Signature

WHO = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from app.stores.git.hosted import DiskRepository
from app.stores.ports import NewCommit, Signature
who = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))
repo = DiskRepository(Path(sys.argv[1]))
turn = 0
print("ready", flush=True)
while True:
    turn += 1
    texts = [f"{sys.argv[2]}: {turn}.{each}".encode() for each in range(turn % 5)]
    made = [NewCommit({"artifacts.yml": text}, "m", who, who) for text in texts]
    for oid in repo.write_commits("main", repo.head("main"), made):
        print(oid, flush=True)
    repo.create_branch("a/b", repo.head("main"))
    repo.delete_branch("a/b", repo.head("main"))
"""


def new(text: str = "a: 1\n") -> NewCommit:
    return NewCommit({"artifacts.yml": text.encode()}, "m\n", WHO, WHO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "one.git"
    DiskRepository.create(path, "main", new())
    return path


@pytest.fixture
def repo(path: Path) -> DiskRepository:
    return DiskRepository(path)


def head(repo: DiskRepository) -> str:
    return repo.head("main") or ""


def history(repo: DiskRepository) -> list[str]:
    found, oid = [], head(repo)
    while oid:
        found.append(oid)
        (oid, *_) = repo.commit(oid).parents or ("",)
    return found


def git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(path), *arguments], check=False, capture_output=True, text=True)


# ── Killed ───────────────────────────────────────────────────────────────────────────────────


def test_a_killed_writer_loses_nothing_it_reported_and_blocks_nobody(path: Path, repo: DiskRepository) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for round_ in range(10):
        kept = set(history(repo))
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(round_)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            first = writer.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.08))
            writer.send_signal(signal.SIGKILL)
            reported = {line.strip() for line in [first, *writer.stdout] if line.endswith("\n")}
        started = time.monotonic()
        repo.write_commits("main", head(repo), [new(f"next: {round_}\n")])
        assert time.monotonic() - started < 1
        assert reported
        assert set(history(repo)) >= reported | kept
        if repo.head("a/b") is not None:
            repo.delete_branch("a/b", repo.head("a/b") or "")
        assert [left.name for left in (path / "registry").iterdir()] == ["lock"]
        assert not list((path / "refs").rglob("*.lock"))
    if shutil.which("git"):
        check = git(path, "fsck", "--full", "--strict", "--no-dangling")
        assert (check.returncode, check.stdout) == (0, "")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing after it runs that would tidy up."""


MOMENTS = ["link", "replace", "fsync", "unlink"]


@pytest.mark.parametrize("call", MOMENTS)
@pytest.mark.parametrize("number", range(1, 7))
def test_a_writer_that_stops_at_any_step_leaves_the_branch_whole_and_free(
    path: Path, repo: DiskRepository, call: str, number: int
) -> None:
    before = head(repo)
    child = os.fork()
    if child == 0:
        real, calls = getattr(os, call), iter(range(1, 1000))

        def dying(*arguments: object, **named: object) -> object:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        setattr(os, call, dying)
        try:
            repo.create_branch("a/b", before)
            repo.write_commits("main", before, [new("b: 2\n")])
            repo.delete_branch("a/b", before)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    other = DiskRepository(path)
    started = time.monotonic()
    assert other.head("a/b") in {None, before}
    if other.head("a/b"):
        other.delete_branch("a/b", before)
    other.create_branch("a", before)
    (oid,) = other.write_commits("main", head(other), [new("c: 3\n")])
    assert time.monotonic() - started < 1
    assert set(history(other)) >= {oid, before}
    assert not list(path.glob("**/*.lock"))


@pytest.mark.parametrize(("step", "name"), [("replace", "packed-refs"), ("unlink", "x")])
def test_a_killed_deletion_leaves_the_branch_where_it_was(
    path: Path, repo: DiskRepository, step: str, name: str
) -> None:
    old = head(repo)
    repo.create_branch("x", old)
    assert git(path, "pack-refs", "--all").returncode == 0
    (newer,) = repo.write_commits("x", old, [new("b: 2\n")])
    original = getattr(Path, step)

    def dying(self: Path, *arguments: object, **named: object) -> object:
        if self.name == name:
            raise KilledError
        return original(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, step, dying)
        with pytest.raises(KilledError):
            repo.delete_branch("x", newer)
    assert repo.head("x") == newer
    repo.delete_branch("x", newer)
    assert repo.head("x") is None


def test_a_killed_creation_is_invisible_and_cleaned_up_at_the_next_start(tmp_path: Path) -> None:
    host = HostedGit(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            host.create("search/ranker", "main", new())
    assert list((tmp_path / ".creating").glob("*/HEAD"))
    with pytest.raises(RepositoryNotFoundError):
        host.repository("search/ranker")
    again = HostedGit(tmp_path)
    assert [left.name for left in (tmp_path / ".creating").iterdir()] == ["lock"]
    again.create("search/ranker", "main", new())
    assert again.repository("search/ranker").head("main")


# ── Locks ────────────────────────────────────────────────────────────────────────────────────


def plant(path: Path, age: float) -> Path:
    """A lock file somebody left, `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_stale_locks_of_other_programs_are_removed_on_the_way(path: Path, repo: DiskRepository) -> None:
    repo.create_branch("x", head(repo))
    planted = [
        plant(path / name, age=3600) for name in ("refs/heads/main.lock", "packed-refs.lock", "refs/heads/x.lock")
    ]
    started = time.monotonic()
    repo.delete_branch("x", head(repo))
    (oid,) = repo.write_commits("main", head(repo), [new("b: 2\n")])
    assert repo.head("main") == oid
    assert time.monotonic() - started < 3
    assert not any(lock.exists() for lock in planted)


def test_a_lock_in_use_is_respected_until_it_is_given_back(path: Path, repo: DiskRepository) -> None:
    lock = plant(path / "refs/heads/main.lock", age=0)
    releaser = threading.Timer(0.2, lock.unlink)
    releaser.start()
    started = time.monotonic()
    repo.write_commits("main", head(repo), [new("b: 2\n")])
    assert time.monotonic() - started >= 0.15
    releaser.join()


def test_a_lock_nobody_gives_back_is_busy_and_left_alone(
    path: Path, repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.4)
    lock, before = plant(path / "refs/heads/main.lock", age=10), head(repo)
    with pytest.raises(RepositoryBusyError, match=r"main\.lock"):
        repo.write_commits("main", before, [new("b: 2\n")])
    assert lock.exists()
    assert repo.head("main") == before


def test_an_old_lock_that_is_still_written_to_is_left_alone(
    path: Path, repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.6)
    lock, stop = plant(path / "refs/heads/main.lock", age=3600), threading.Event()

    def live() -> None:
        age = 3600
        while not stop.wait(0.05):
            age -= 1
            os.utime(lock, (time.time() - age, time.time() - age))

    owner = threading.Thread(target=live)
    owner.start()
    with pytest.raises(RepositoryBusyError):
        repo.write_commits("main", head(repo), [new("b: 2\n")])
    stop.set()
    owner.join()
    assert lock.exists()


def test_a_lock_another_program_takes_right_after_ours_is_not_removed(path: Path, repo: DiskRepository) -> None:
    lock, real = path / "refs/heads/main.lock", Path.replace

    def replace_and_be_overtaken(self: Path, target: Path) -> Path:
        moved = real(self, target)
        if self == lock:
            lock.touch()
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replace_and_be_overtaken)
        repo.write_commits("main", head(repo), [new("b: 2\n")])
    assert lock.exists()


def test_locks_left_among_the_objects_block_no_content(path: Path, repo: DiskRepository) -> None:
    twin = DiskRepository
    twin.create(path.with_name("twin.git"), "main", new())
    twin(path.with_name("twin.git")).write_commits("main", head(repo), [new("b: 2\n")])
    for made in path.with_name("twin.git").glob("objects/??/*"):
        plant(path / "objects" / made.parent.name / f"{made.name}.lock", age=0)
    started = time.monotonic()
    repo.write_commits("main", head(repo), [new("b: 2\n")])
    assert time.monotonic() - started < 1
    assert history(repo) == history(twin(path.with_name("twin.git")))


def test_another_process_holding_the_turn_makes_a_writer_busy_and_readers_nothing(
    path: Path, repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.3)
    with locks.flocked(path / "registry" / "lock", time.monotonic()):
        with pytest.raises(RepositoryBusyError):
            repo.write_commits("main", head(repo), [new("b: 2\n")])
        assert repo.commit(head(repo)).parents == ()
    repo.write_commits("main", head(repo), [new("b: 2\n")])


def test_writers_in_several_processes_lose_nothing(path: Path, repo: DiskRepository) -> None:
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                mine = DiskRepository(path)
                for turn in range(8):
                    until_written(mine, f"{number}: {turn}\n")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(history(repo)) == 25


def until_written(repo: DiskRepository, text: str) -> None:
    while True:
        try:
            repo.write_commits("main", head(repo), [new(text)])
        except RefMovedError:
            continue
        return


# ── Disks ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 4])
def test_everything_a_commit_needs_is_on_the_disk_before_the_branch_moves(
    path: Path, repo: DiskRepository, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def named(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(path))

    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (events.append(("sync", named(descriptor))), fsync(descriptor))[1]
    )
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append(("move", str(to.relative_to(path)))), replace(self, to))[1]
    )
    if not Path("/proc/self/fd").exists():
        pytest.skip("descriptors cannot be named here")
    repo.write_commits("main", head(repo), [new(f"b: {number}\n") for number in range(count)])
    moved = events.index(("move", "refs/heads/main"))
    for event, name in events[:moved]:
        if event == "move":
            folder = str(Path(name).parent)
            assert ("sync", folder) in events[events.index((event, name)) : moved]
    synced = [name for event, name in events[:moved] if event == "sync" and "tmp_" in name]
    assert len(synced) == len([event for event, _ in events[:moved] if event == "move"]) == (3 if count == 1 else 2)
    assert any(name.startswith("registry/draft-") for event, name in events[:moved] if event == "sync")
    assert ("sync", "refs/heads") in events[moved:]


def test_a_full_disk_is_a_store_error_and_moves_nothing(repo: DiskRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    before = head(repo)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        repo.write_commits("main", before, [new("b: 2\n")])
    monkeypatch.undo()
    assert head(repo) == before
    repo.write_commits("main", before, [new("b: 2\n")])


def test_a_file_where_a_folder_of_objects_should_be_is_not_blamed_on_the_branch(
    path: Path, repo: DiskRepository
) -> None:
    before = head(repo)
    for number in range(256):
        place = path / "objects" / f"{number:02x}"
        if not place.exists():
            place.touch()
    with pytest.raises(StoreError, match=r"one\.git cannot be written: File exists\. .* free the disk or its rights"):
        repo.write_commits("main", before, [new("b: 2\n")])
    assert head(repo) == before


def test_many_objects_and_their_folders_are_never_all_open_at_once(path: Path) -> None:
    contents = [f"{number}\n".encode() for number in range(99)]
    blobs = [(b"blob", Blob.from_string(content).id.decode(), content) for content in contents]
    before, most = len(list(Path("/dev/fd").iterdir())), []

    def sync(descriptors: Sequence[int]) -> None:
        most.append(len(list(Path("/dev/fd").iterdir())) - before)
        durable.one_by_one(descriptors)

    with (path / "beside").open("wb") as beside:
        stored = disk.DiskObjects(path, sync)
        stored.write_loose(blobs, [beside.fileno()])
    assert max(most) <= durable.AT_ONCE + 1
    assert all((found := stored.find(oid)) and found.load() == content for _, oid, content in blobs)


def test_a_failing_disk_is_never_taken_for_a_missing_branch(
    repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_path: Path, _flags: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(RepositoryCorruptError, match="Input/output error"):
        repo.head("main")


def test_a_process_out_of_files_does_not_blame_the_repository(
    repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_path: Path, _flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(StoreError, match="ulimit") as refused:
        repo.head("main")
    assert not isinstance(refused.value, RepositoryCorruptError)


def test_a_ref_that_changed_within_one_tick_of_the_clock_changes_the_fingerprint(
    path: Path, repo: DiskRepository
) -> None:
    (other,) = repo.write_commits("other", None, [new("b: 2\n")])
    file = path / "refs/heads/main"
    before, status = repo.fingerprint(), file.stat()
    file.write_text(f"{other}\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert repo.fingerprint() != before


def test_an_object_that_git_unpacks_behind_the_first_look_is_found(
    repo: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = disk.loose_header, iter([FileNotFoundError])

    def not_yet(raw: bytes) -> tuple[bytes, int]:
        for error in looks:
            raise error
        return real(raw)

    oid = head(repo)
    monkeypatch.setattr(disk, "loose_header", not_yet)
    assert repo.commit(oid).oid == oid


def test_a_repository_that_was_removed_is_not_found(path: Path, repo: DiskRepository) -> None:
    shutil.rmtree(path)
    with pytest.raises(RepositoryNotFoundError):
        repo.refs()
    with pytest.raises(RepositoryNotFoundError):
        repo.head("main")
    with pytest.raises(RepositoryNotFoundError):
        repo.fingerprint()
    with pytest.raises(RepositoryNotFoundError):
        repo.commit("1" * 40)
    with pytest.raises(RepositoryNotFoundError):
        repo.write_commits("main", None, [new()])
    assert not path.exists()


def test_only_one_of_many_creators_of_a_name_succeeds(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def create(number: int) -> None:
        try:
            HostedGit(tmp_path).create("Search/Ranker" if number % 2 else "search/ranker", "main", new())
            outcomes.append("made")
        except RepositoryExistsError:
            outcomes.append("exists")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["exists"] * 5 + ["made"]


def test_threads_that_end_close_their_packs(path: Path, repo: DiskRepository) -> None:
    repo.write_commits("main", head(repo), [new(f"b: {number}\n") for number in range(4)])

    def held() -> int:
        return Path("/proc/self/maps").read_text().count(f"{path}/objects/pack/")

    if not Path("/proc/self/maps").exists():
        pytest.skip("mappings cannot be listed here")
    thread = threading.Thread(target=lambda: history(repo))
    thread.start()
    thread.join()
    assert held() == 0
