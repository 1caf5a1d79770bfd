"""What is served is what Git has: whoever moved it, and whatever became of the cache."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from app.registry.branches import Branches
from app.registry.model import ManifestState, Project, SyncState
from app.registry.registry import Registry, Stores
from app.stores.cache.memory import MemoryCache
from app.stores.errors import CacheUnavailableError, RepositoryCorruptError
from app.stores.ports import TreeFile
from tests.support.caches import SwitchedCache
from tests.support.domain import ADA, Desk, force, graft, put


class WoundedCache(SwitchedCache):
    """A cache that can also lose what it had, or have it damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = 0

    def flush(self) -> None:
        """Lose everything."""
        self._pointers.clear()
        self._derived.clear()
        self.losses += 1

    def damage(self, byte: bytes) -> None:
        """Put one byte in place of every value."""
        for stored in self._pointers.values():
            stored.update({field: (ticket, byte) for field, (ticket, _) in stored.items()})
        self._derived = dict.fromkeys(self._derived, byte)

    async def begun(self) -> int:
        await super().begun()
        return self.losses


def beside(registry: Registry, cache: MemoryCache) -> Registry:
    """Another process on the same Git."""
    stores = registry._stores  # noqa: SLF001 - what the processes share
    return Registry(Stores(stores.git, stores.catalogue, cache, stores.objects), b"s" * 32, max_changes=9, max_size=9)


@pytest.fixture
def cache() -> WoundedCache:
    return WoundedCache()


@pytest.fixture
async def wounded(desk: Desk, cache: WoundedCache) -> AsyncIterator[Desk]:
    """A project served through the cache that can be hurt."""
    registry = beside(desk.registry, cache)
    await registry.follow()
    yield Desk(registry, desk.project, desk.repository)
    await registry.lanes.finish()
    registry.offload.close()


async def names(desk: Desk) -> list[str]:
    return [one.name for one in await desk.registry.branches.list(desk.project)]


async def test_what_the_cache_holds_of_others_is_known_when_it_holds_damage_of_one(
    wounded: Desk, cache: WoundedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await wounded.registry.create_project(Project("other"), "main", ADA)
    pointers = cache.pointers

    async def damaged(project: str) -> Mapping[str, bytes]:
        if project == other.name:
            raise CacheUnavailableError("damaged")
        return await pointers(project)

    monkeypatch.setattr(cache, "pointers", damaged)
    stored = await wounded.registry.branches.stored([other, wounded.project])
    assert [sorted(one) for one in stored] == [[], ["*HEAD", "*WHOLE", "main"]]


# ── Git moves ────────────────────────────────────────────────────────────────────────────────


async def test_a_push_by_others_becomes_visible_and_is_told_in_order(desk: Desk) -> None:
    desk.push("a: {}\n")
    desk.push("a: {}\nb: {}\n")
    assert await desk.entries() == {}
    await desk.follow()
    assert list(await desk.entries()) == ["a", "b"]
    assert await desk.events() == ["ARTIFACT_ADDED a", "ARTIFACT_ADDED b"]


async def test_looking_again_tells_nothing_twice(desk: Desk) -> None:
    desk.push("a: {}\n")
    for _ in range(3):
        await desk.follow()
    assert await desk.events() == ["ARTIFACT_ADDED a"]


async def test_pushes_and_writes_of_our_own_are_told_once_each_in_git_s_order(desk: Desk) -> None:
    await desk.put("a")
    desk.push("a: {}\nb: {}\n")
    await desk.put("c")
    await desk.follow()
    await desk.put("d")
    assert await desk.events() == [f"ARTIFACT_ADDED {name}" for name in "abcd"]


async def test_branches_that_come_and_go_are_served_and_told(desk: Desk) -> None:
    desk.repository.create_branch("dev", desk.head())
    await desk.follow()
    assert await names(desk) == ["dev", "main"]
    desk.repository.delete_branch("dev", desk.head("dev"))
    await desk.follow()
    assert await names(desk) == ["main"]
    assert await desk.events() == ["BRANCH_CREATED", "BRANCH_DELETED"]


async def test_a_forced_push_is_served_and_told(desk: Desk) -> None:
    await desk.put("a")
    force(desk.repository, "main", graft(desk.repository, [], {"artifacts.yml": "b: {}\n"}))
    await desk.follow()
    assert list(await desk.entries()) == ["b"]
    assert (await desk.events())[1:] == ["BRANCH_REWRITTEN", "ARTIFACT_REMOVED a", "ARTIFACT_ADDED b"]


async def test_branches_that_did_not_move_are_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        desk.repository.create_branch(f"b{number}", desk.push(f"a: {{x: {number}}}\n"))
    await desk.follow()
    file, blob = desk.repository.file, desk.repository.blob
    read: list[str] = []
    blobs: list[str] = []

    def reading_file(commit: str, path: str) -> TreeFile | None:
        read.append(commit)
        return file(commit, path)

    def reading_blob(oid: str, limit: int) -> bytes:
        blobs.append(oid)
        return blob(oid, limit)

    monkeypatch.setattr(desk.repository, "file", reading_file)
    monkeypatch.setattr(desk.repository, "blob", reading_blob)
    head = desk.push("a: {x: new}\n", branch="b3")
    await desk.follow()
    assert len(blobs) == 1
    assert set(read) == {head}


async def test_nothing_that_moved_costs_no_reading_at_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.repository, "refs", None)
    await desk.follow()


async def test_a_project_that_cannot_be_read_holds_up_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = await desk.registry.create_project(Project("a-bad-one"), "main", ADA)
    git: Any = desk.registry._stores.git  # noqa: SLF001 - to hurt it

    def fail() -> str:
        raise RepositoryCorruptError("no HEAD")

    for asked in ("fingerprint", "refs"):
        monkeypatch.setattr(git.repository(bad.name), asked, fail)
    desk.push("a: {}\n")
    await desk.follow()
    assert list(await desk.entries()) == ["a"]
    status = desk.registry.sync.status(bad)
    assert (status.state, status.last_error) == (SyncState.FAILING, "no HEAD")
    desk.push("b: {}\n")
    failed = await desk.registry.sync.sync_all([bad, desk.project])
    assert {name: str(error) for name, error in failed.items()} == {bad.name: "no HEAD"}
    assert list(await desk.entries()) == ["b"]
    assert status.synced_at
    monkeypatch.undo()
    await desk.follow()
    assert desk.registry.sync.status(bad).state is SyncState.CURRENT


async def test_a_failing_telling_tells_nothing_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.repository.create_branch("zzz", desk.head())
    await desk.follow()
    desk.push("a: {}\n")
    moved = desk.push("b: {}\n", branch="zzz")
    commit = desk.repository.commit

    def fail(oid: str) -> Any:
        if oid == moved:
            raise RepositoryCorruptError("garbled")
        return commit(oid)

    with monkeypatch.context() as patched:
        patched.setattr(desk.repository, "commit", fail)
        await desk.follow()
        await desk.follow()
    await desk.follow()
    assert await desk.events() == ["BRANCH_CREATED", "ARTIFACT_ADDED a", "ARTIFACT_ADDED b"]


async def test_a_commit_that_was_cleaned_away_does_not_stop_the_project(desk: Desk) -> None:
    gone = await desk.put("a")
    new = graft(desk.repository, [], {"artifacts.yml": "b: {}\n"})
    force(desk.repository, "main", new)
    del desk.repository.objects._kept[gone]  # noqa: SLF001 - as `git gc --prune=now` does
    await desk.follow()
    assert list(await desk.entries()) == ["b"]
    assert desk.registry.sync.status(desk.project).state is SyncState.CURRENT


async def test_the_last_good_manifest_is_served_while_the_head_is_broken(desk: Desk) -> None:
    good = desk.push("a: {x: 1}\n")
    desk.push("a: [\n")
    head = desk.push("a: {\n")
    await desk.follow()
    at = (await desk.branch()).at
    assert (at.state, at.served, at.commit) == (ManifestState.BROKEN, good, head)
    assert at.problems
    assert await desk.entries() == {"a": {"x": 1}}


async def test_a_manifest_that_is_a_link_is_broken_and_not_followed(desk: Desk) -> None:
    force(desk.repository, "main", graft(desk.repository, [], {"artifacts.yml": "/etc/passwd"}, mode=0o120000))
    await desk.follow()
    at = (await desk.branch()).at
    assert (at.state, [one.code for one in at.problems]) == (ManifestState.BROKEN, ["NOT_A_FILE"])


async def test_a_file_that_is_too_large_is_broken(desk: Desk) -> None:
    desk.push("# " + "x" * (8 << 20))
    await desk.follow()
    assert [one.code for one in (await desk.branch()).at.problems] == ["TOO_LARGE"]


async def test_another_manifest_path_in_the_catalogue_is_read_from_then_on(desk: Desk) -> None:
    desk.push("a: {}\n")
    desk.push("b: {}\n", path="ml/other.yml")
    await desk.follow()
    line = "search/ranker: {description: '', manifestPath: ml/other.yml}\n"
    catalogue: Any = desk.registry._stores.catalogue  # noqa: SLF001 - as a person edits it
    Desk(desk.registry, desk.project, catalogue).push(line, path="projects.yml")
    await desk.follow()
    moved = Desk(desk.registry, desk.registry.catalogue.require("search/ranker"), desk.repository)
    assert list(await moved.entries()) == ["b"]


async def test_two_processes_of_one_git_see_each_other_s_writes(wounded: Desk, desk: Desk) -> None:
    await desk.put("a")
    await wounded.put("b")
    assert await wounded.events() == ["ARTIFACT_ADDED a", "ARTIFACT_ADDED b"]
    await desk.follow()
    assert await desk.events() == ["ARTIFACT_ADDED a", "ARTIFACT_ADDED b"]


# ── The cache fails ──────────────────────────────────────────────────────────────────────────


async def test_without_a_cache_reads_are_right_and_writes_go_on(wounded: Desk, cache: WoundedCache) -> None:
    cache.away = True
    done = await wounded.put("a", x=1)
    wounded.push("a: {x: 1}\nb: {}\n")
    assert done in wounded.log()
    assert list(await wounded.entries()) == ["a", "b"]
    assert await names(wounded) == ["main"]
    default = await wounded.registry.branches.default(wounded.project)
    assert default
    assert default.head == wounded.head()


async def test_a_cache_that_comes_back_with_old_pointers_is_not_believed(wounded: Desk, cache: WoundedCache) -> None:
    await wounded.put("a")
    cache.away = True
    await wounded.put("b")
    cache.away = False
    assert list(await wounded.entries()) == ["a", "b"]
    await wounded.follow()
    assert list(await wounded.entries()) == ["a", "b"]


async def test_a_branch_deleted_while_the_cache_was_away_does_not_come_back(wounded: Desk, cache: WoundedCache) -> None:
    wounded.repository.create_branch("dev", wounded.head())
    await wounded.follow()
    cache.away = True
    wounded.repository.delete_branch("dev", wounded.head())
    await wounded.follow()
    cache.away = False
    await wounded.follow()
    assert await names(wounded) == ["main"]
    assert await wounded.registry.branches.get(wounded.project, "dev") is None


async def test_a_flushed_cache_is_filled_again_by_the_next_look_at_git(wounded: Desk, cache: WoundedCache) -> None:
    await wounded.put("a")
    before = dict(await cache.pointers(wounded.project.name))
    cache.flush()
    assert list(await wounded.entries()) == ["a"]
    await wounded.follow()
    assert await cache.pointers(wounded.project.name) == before


async def test_a_flush_that_nobody_noticed_is_made_good_by_the_next_look(wounded: Desk, cache: WoundedCache) -> None:
    await wounded.put("a")
    before = dict(await cache.pointers(wounded.project.name))
    await wounded.follow()
    cache.flush()
    await wounded.follow()
    assert await cache.pointers(wounded.project.name) == before


async def test_a_write_to_one_branch_does_not_make_the_cache_believed_of_another_it_missed(
    wounded: Desk, cache: WoundedCache
) -> None:
    wounded.repository.create_branch("dev", wounded.head())
    await wounded.follow()
    cache.away = True
    done = await wounded.commit(put("a"), branch="dev")
    cache.away = False
    await wounded.put("b")
    assert (await wounded.branch("dev")).head == done.commit
    await wounded.follow()
    assert (await wounded.branch("dev")).head == done.commit


async def test_while_the_cache_is_away_what_it_misses_costs_no_look_at_git(wounded: Desk, cache: WoundedCache) -> None:
    cache.away = True
    await wounded.put("a")
    await wounded.follow()
    assert await wounded.registry.sync.moved([wounded.project]) == []
    cache.away = False
    assert await wounded.registry.sync.moved([wounded.project]) == [wounded.project]


async def test_a_write_after_a_flush_does_not_make_one_branch_pass_for_all(wounded: Desk, cache: WoundedCache) -> None:
    wounded.repository.create_branch("dev", wounded.head())
    await wounded.follow()
    cache.flush()
    await wounded.put("a")
    assert await names(wounded) == ["dev", "main"]
    await wounded.follow()
    assert await names(wounded) == ["dev", "main"]


@pytest.mark.parametrize("byte", [b"", b"x", b"{}", b"[1]", b"[[[", b"\xff", b'["main",true,{"state":"X"}]'])
async def test_damaged_bytes_in_the_cache_are_not_believed(wounded: Desk, cache: WoundedCache, byte: bytes) -> None:
    await wounded.put("a", x=1)
    cache.damage(byte)
    fresh = beside(wounded.registry, cache)
    reader = Desk(fresh, wounded.project, wounded.repository)
    assert await reader.entries() == {"a": {"x": 1}}
    assert await names(reader) == ["main"]
    await fresh.follow()
    assert (await reader.branch()).head == wounded.head()
    fresh.offload.close()


async def test_a_restart_takes_from_the_cache_what_did_not_move(
    wounded: Desk, cache: WoundedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wounded.put("a")
    await wounded.follow()
    fresh = beside(wounded.registry, cache)
    monkeypatch.setattr(wounded.repository, "file", None)
    monkeypatch.setattr(wounded.repository, "blob", None)
    await fresh.sync.sync(wounded.project)
    assert list(await Desk(fresh, wounded.project, wounded.repository).entries()) == ["a"]
    fresh.offload.close()


async def test_an_old_ticket_does_not_bring_back_an_old_head(wounded: Desk, cache: WoundedCache) -> None:
    old = await wounded.put("a")
    stale = dict(await cache.pointers(wounded.project.name))
    await wounded.put("b")
    await cache.move(wounded.project.name, 1, stale)
    assert (await wounded.branch()).head != old


@pytest.mark.parametrize("name", ["*HEAD", "*WHOLE", "HEAD", "", "nowhere", "\ud800"])
async def test_what_is_no_branch_is_none(desk: Desk, name: str) -> None:
    branches: Branches = desk.registry.branches
    assert await branches.get(desk.project, name) is None
