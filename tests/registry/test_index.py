"""The search over everything: what it sees and when, and what it costs."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from app.registry import index
from app.registry.changes import DeleteEntry
from app.registry.index import Hits, Part
from app.registry.manifest import Entry, Manifest, entry_from
from app.registry.model import Branch, ManifestAt, ManifestState, ObjectState, Project
from app.registry.registry import Registry
from app.registry.search import ArtifactFilter, MetadataFilter
from app.registry.segment import Run, Segment, segment
from app.resolvers import artifacts
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.stores.errors import StoreError
from app.stores.git.memory import MemoryGit
from tests.support.domain import ADA, Desk, put, signed_in

EVERYWHERE = ArtifactFilter(branch="*")


async def found(registry: Registry, wanted: ArtifactFilter = EVERYWHERE) -> list[str]:
    return [
        f"{one.artifact.project.name} {one.branch} {one.artifact.name}"
        for one in await registry.index.search(wanted, bool)
    ]


async def second(registry: Registry) -> Desk:
    """Another project, before the first by name."""
    project = await registry.create_project(Project("ads/clicks"), "trunk", ADA)
    git = registry._stores.git  # noqa: SLF001 - what people push goes around the registry
    assert isinstance(git, MemoryGit)
    return Desk(registry, project, git.repository(project.name))


# ── What is found ────────────────────────────────────────────────────────────────────────────


async def test_everything_is_found_by_project_branch_and_name(desk: Desk, registry: Registry) -> None:
    await desk.commit(put("b"), put("a/x"), put("a"), put("B"))
    await registry.branching.create(desk.project, "dev", "HEAD")
    await desk.commit(DeleteEntry("b"), branch="dev")
    await (await second(registry)).put("z")
    assert await found(registry) == [
        "ads/clicks trunk z",
        *(f"search/ranker dev {name}" for name in ("B", "a", "a/x")),
        *(f"search/ranker main {name}" for name in ("B", "a", "a/x", "b")),
    ]
    assert await found(registry, ArtifactFilter(name="a")) == ["search/ranker main a"]
    assert await found(registry, ArtifactFilter(project="ads/*")) == ["ads/clicks trunk z"]
    assert await found(registry, ArtifactFilter(branch="d?v", name="b")) == []


async def test_a_write_is_found_as_soon_as_it_is_answered(desk: Desk, registry: Registry) -> None:
    for number in range(3):
        await desk.put("a", number=number)
        wanted = ArtifactFilter(metadata=(MetadataFilter("number", eq=number),))
        (hit,) = await registry.index.search(wanted, bool)
        assert hit.artifact.commit == desk.head()
    await desk.delete("a")
    assert await found(registry) == []


async def test_a_push_is_found_after_the_next_look_at_git(desk: Desk, registry: Registry) -> None:
    await desk.put("a")
    assert await found(registry) == ["search/ranker main a"]
    desk.push("b: {}\nc: {}\n")
    desk.push("d: {}\n", branch="pushed")
    await desk.follow()
    assert await found(registry) == ["search/ranker main b", "search/ranker main c", "search/ranker pushed d"]
    desk.repository.delete_branch("pushed", desk.head("pushed"))
    await desk.follow()
    assert await found(registry) == ["search/ranker main b", "search/ranker main c"]


async def test_a_broken_manifest_leaves_the_last_good_one_to_be_found(desk: Desk, registry: Registry) -> None:
    await desk.put("a")
    desk.push("a: [")
    await desk.follow()
    assert await found(registry) == ["search/ranker main a"]


async def test_what_a_data_object_id_finds_is_what_was_written(desk: Desk, registry: Registry) -> None:
    desk.push("a: {dataObjectId: 7}\nb: {dataObjectId: '7'}\nc: {dataObjectId: 007}\nd: {dataObjectId: 7.0}\n")
    await desk.follow()
    context = Context(registry, signed_in(ADA), Limits())
    ids = {id_: await artifacts.with_data_object_id(context, id_) for id_ in ("7", "007", "07", "7.0")}
    assert {id_: [hit.artifact.name for hit in hits] for id_, hits in ids.items()} == {
        "7": ["a", "b"],
        "007": ["c"],
        "07": [],
        "7.0": ["d"],
    }


async def test_a_project_that_cannot_be_read_is_left_out(
    desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    await (await second(registry)).put("b")
    get = registry.manifests.get

    async def failing(project: Project, blob: str | None) -> Manifest:
        if project.name == "ads/clicks":
            raise StoreError("gone")
        return await get(project, blob)

    monkeypatch.setattr(registry.manifests, "get", failing)
    assert await found(registry) == ["search/ranker main a"]
    monkeypatch.setattr(registry.manifests, "get", get)
    assert len(await found(registry)) == 2


# ── What it costs ────────────────────────────────────────────────────────────────────────────


class Counting:
    """Counts the segments and the runs that are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.segments = self.runs = 0
        run_of = Run.of

        def counted_segment(entries: Iterable[Entry], of: Callable[[tuple[Entry, ...]], Run]) -> Segment:
            self.segments += 1
            return segment(entries, of)

        def counted_run(entries: tuple[Entry, ...]) -> Run:
            self.runs += 1
            return run_of(entries)

        monkeypatch.setattr(index, "segment", counted_segment)
        monkeypatch.setattr(Run, "of", counted_run)


async def test_searches_that_come_together_make_a_segment_once(
    desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.commit(put("a"), put("b"))
    await registry.branching.create(desk.project, "dev", "HEAD")
    counting = Counting(monkeypatch)
    answers = await asyncio.gather(*(found(registry) for _ in range(5)))
    assert [len(answer) for answer in answers] == [4] * 5
    assert counting.segments == 1


async def test_a_search_reads_only_what_has_changed(
    desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    other = await second(registry)
    await other.put("b")
    await found(registry)
    counting = Counting(monkeypatch)
    await found(registry)
    assert counting.segments == 0
    await other.put("c")
    await found(registry)
    assert counting.segments == 1


async def test_an_edit_of_a_large_manifest_makes_one_run_anew(
    desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.push("".join(f"entry-{number:04}:\n  rows: {number}\n" for number in range(3000)))
    await desk.follow()
    await desk.put("entry-0100", rows=-1)  # the writer reads the file once for itself
    await found(registry)
    counting = Counting(monkeypatch)
    await desk.put("entry-0200", rows=-2)
    assert len(await found(registry, ArtifactFilter(metadata=(MetadataFilter("rows", lt=0),)))) == 2
    assert (counting.segments, counting.runs) == (1, 1)


async def test_what_no_head_serves_is_dropped(desk: Desk, registry: Registry) -> None:
    for number in range(3):
        await desk.put("a", number=number)
        await found(registry)
    assert registry.index._segments.keys() == {(await desk.branch()).at.blob}  # noqa: SLF001 - nothing else shows it
    assert len(registry.index._runs) == 1  # noqa: SLF001 - nor this


# ── Pages ────────────────────────────────────────────────────────────────────────────────────


def test_hits_are_a_sequence_of_all_that_was_found() -> None:
    run = Run.of(tuple(entry_from(f"{number:03}", {}) for number in range(300)))
    at = ManifestAt("c" * 40, ManifestState.VALID, "b", "b", "c" * 40)
    branches = [Branch(Project(name), "main", is_default=True, at=at) for name in "ab"]
    hits = Hits([Part(branches[0], run, 1 << 299 | 0b101), Part(branches[1], run, 0b10)])
    names = [(hit.artifact.project.name, hit.artifact.name) for hit in hits]
    assert names == [("a", "000"), ("a", "002"), ("a", "299"), ("b", "001")]
    assert [hits[number] for number in range(-4, 0)] == hits[:] == list(hits)
    assert (len(hits), hits[1:3], hits[9:], len(Hits([]))) == (4, list(hits)[1:3], [], 0)
    with pytest.raises(IndexError):
        hits[4]


async def test_a_cursor_survives_writes_deletions_and_new_projects(desk: Desk, registry: Registry) -> None:
    context = Context(registry, signed_in(ADA), Limits())
    await desk.commit(*(put(name, type="model") for name in "abcd"))
    wanted = ArtifactFilter(types=("model",))
    first = await artifacts.page(context, 2, None, wanted)
    assert (first.total, [edge.node.name for edge in first.edges]) == (4, ["a", "b"])
    await desk.commit(DeleteEntry("b"), DeleteEntry("a"), put("bb", type="model"), put("aa", type="model"))
    await (await second(registry)).put("e", type="model")
    rest = await artifacts.page(context, None, first.edges[-1].cursor, wanted)
    assert ([edge.node.name for edge in rest.edges], rest.total) == (["bb", "c", "d"], 5)


# ── Bytes ────────────────────────────────────────────────────────────────────────────────────


def stored(registry_folder: Path, project: str, sha256: str, content: bytes) -> None:
    place = registry_folder / "objects" / project.replace("/", "+") / sha256[:2] / sha256
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


async def test_object_states_tell_what_is_awaited_there_and_missing(
    desk: Desk, registry: Registry, tmp_path: Path
) -> None:
    ready, gone, other = "1" * 64, "2" * 64, "3" * 64
    desk.push(
        f"ready: {{object: {{sha256: '{ready}', size: 3}}}}\n"
        f"gone: {{object: {{sha256: '{gone}', size: 3}}}}\n"
        f"other-size: {{object: {{sha256: '{other}', size: 3}}}}\n"
        f"awaited: {{object: {{sha256: '{ready}', size: 3, state: pending}}}}\n"
        "without: {}\n"
    )
    await desk.follow()
    stored(tmp_path, desk.project.name, ready, b"abc")
    stored(tmp_path, desk.project.name, other, b"abcd")
    context, branch = Context(registry, signed_in(ADA), Limits()), await desk.branch()
    expected = {
        (ObjectState.PENDING,): ["awaited"],
        (ObjectState.READY,): ["ready"],
        (ObjectState.MISSING,): ["gone", "other-size"],
        (ObjectState.READY, ObjectState.MISSING): ["gone", "other-size", "ready"],
        (ObjectState.READY, ObjectState.PENDING): ["awaited", "ready"],
        tuple(ObjectState): ["awaited", "gone", "other-size", "ready"],
        (): [],
    }
    for states, names in expected.items():
        wanted = ArtifactFilter(object_states=states)
        everywhere = await artifacts.page(context, None, None, wanted)
        on_branch = await artifacts.page_of_branch(context, branch, None, None, wanted)
        assert [edge.node.name for edge in everywhere.edges] == names, states
        assert [edge.node.name for edge in on_branch.edges] == names, states


async def test_missing_bytes_are_found_as_soon_as_they_are_there(
    desk: Desk, registry: Registry, tmp_path: Path
) -> None:
    desk.push(f"a: {{object: {{sha256: '{'1' * 64}', size: 3}}}}\n")
    await desk.follow()
    missing, ready = (ArtifactFilter(object_states=(one,)) for one in (ObjectState.MISSING, ObjectState.READY))
    assert (len(await found(registry, missing)), len(await found(registry, ready))) == (1, 0)
    stored(tmp_path, desk.project.name, "1" * 64, b"abc")
    assert (len(await found(registry, missing)), len(await found(registry, ready))) == (0, 1)
