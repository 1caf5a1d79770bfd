"""Which commits touched a manifest or an entry: `git log -- path`, and the same for one entry."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.registry.errors import InvalidInputError
from app.registry.graph import CommitGraph
from app.registry.lineage import Lineage, Reading
from app.registry.manifests import Manifests
from app.registry.model import Artifact, Change, ChangeKind
from app.registry.offload import Offload
from app.registry.stored_lineage import from_bytes, to_bytes
from app.stores.cache.memory import MemoryCache
from app.stores.git.hosted import DiskRepository
from app.stores.git.memory import MemoryGit, MemoryRepository
from app.stores.ports import Repository
from tests.support.domain import Desk, force, graft, put
from tests.support.git import git
from tests.support.histories import PATH, History, shadow, write


def nothing() -> None:
    """No pause between two reads."""


def grow(graph: CommitGraph, repository: Repository, head: str) -> None:
    growth = graph.growth()
    for part in repository.trace(PATH, head, graph, graph.tips):
        growth.take(part)
    graph.add(growth)


def reading(repository: Repository, head: str) -> Reading:
    lineage = Lineage()
    grow(lineage.graph, repository, head)
    manifests = Manifests(MemoryGit(), MemoryCache(), Offload(1))
    return Reading(lineage, manifests, repository, nothing)


def log(repository: Repository, head: str) -> list[str]:
    return list(reading(repository, head).of_manifest(head))


class Graph:
    """Commits by short names, each a second younger than the one before."""

    def __init__(self) -> None:
        self.repository = MemoryRepository("main")
        self.oids: dict[str, str] = {}

    def add(self, name: str, text: str | None, *parents: str) -> None:
        files = {"readme": name} | ({} if text is None else {PATH: text})
        oid = graft(self.repository, [self.oids[parent] for parent in parents], files, at=len(self.oids))
        self.oids[name] = oid

    def log(self, head: str) -> str:
        names = {oid: name for name, oid in self.oids.items()}
        return " ".join(names[oid] for oid in log(self.repository, self.oids[head]))


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        (["a:-", "b:1:a", "c:1:b", "d:2:c"], "d b"),
        (["a:1", "b:2:a"], "b a"),
        (["a:-", "b:-:a"], ""),
        (["a:1", "b:-:a", "c:1:b"], "c b a"),
        (["a:1", "b:2:a", "c:1:b"], "c b a"),
        (["a:1", "b:2:a", "c:1:a", "m:2:c,b"], "b a"),
        (["a:1", "b:2:a", "c:3:a", "m:4:c,b"], "m c b a"),
        (["a:1", "b:2:a", "c:3:a", "m:3:c,b"], "c a"),
        (["a:1", "b:2:a", "c:2:a", "m:2:b,c"], "b a"),
        (["a:1", "x:5", "m:1:a,x"], "a"),
        (["a:-", "x:5", "m:5:a,x"], "x"),
        (["a:1", "b:2:a", "c:3:a", "d:4:a", "m:5:b,c,d"], "m d c b a"),
        (["a:1", "b:2:a", "c:3:a", "m:-:b,c"], "m c b a"),
    ],
)
def test_merges_are_simplified_as_git_does(commits: list[str], expected: str) -> None:
    graph = Graph()
    for commit in commits:
        name, text, *parents = commit.split(":")
        graph.add(name, None if text == "-" else f"e: {{x: {text}}}\n", *(parents[0].split(",") if parents else []))
    assert graph.log(commits[-1][0]) == expected


def test_a_change_of_the_file_s_kind_is_a_change() -> None:
    repository = MemoryRepository("main")
    first = graft(repository, [], {PATH: "target"}, at=1)
    second = graft(repository, [first], {PATH: "target"}, at=2, mode=0o120000)
    assert log(repository, second) == [second, first]


@pytest.fixture(scope="module", params=range(12))
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A random history of sixty commits, with a branch at each."""
    path = tmp_path_factory.mktemp("people") / "p.git"
    git("init", "--quiet", "--bare", path)
    return write(path, request.param, 60)


def of_people(history: History) -> Iterator[tuple[str, Reading]]:
    """Some of the branches, asked in turn of one lineage that grows by each."""
    repository, lineage = DiskRepository(history.path), Lineage()
    manifests = Manifests(MemoryGit(), MemoryCache(), Offload(1))
    for branch in history.branches[::-7]:
        head = repository.head(branch) or ""
        grow(lineage.graph, repository, head)
        yield head, Reading(lineage, manifests, repository, nothing)


def test_any_history_is_listed_as_the_stock_client_lists_it(people: History) -> None:
    for head, found in of_people(people):
        assert list(found.of_manifest(head)) == people.log(head)


@pytest.mark.parametrize("name", ["a", "b", "c/d", "e f"])
def test_any_history_of_an_entry_is_that_of_a_file_with_nothing_else_in_it(people: History, name: str) -> None:
    for head, found in of_people(people):
        assert list(found.of_entry(head, name)) == people.log(head, shadow(name))


def test_any_commit_serves_what_it_was_made_to_serve(people: History) -> None:
    *_, (_, found) = of_people(people)
    for oid in [oid for oid in people.snapshots if oid in found.lineage.graph]:
        served = {name: found.entry(oid, name) for name in ("a", "b", "c/d", "e f")}
        assert {name: one.entry for name, one in served.items() if one} == people.snapshots[oid].served


def test_a_stored_lineage_answers_as_the_one_it_was_made_of(people: History) -> None:
    for head, found in of_people(people):
        expected = list(found.of_entry(head, "a"))
        recalled = Reading(from_bytes(to_bytes(found.lineage)), found.manifests, None, nothing)
        assert list(recalled.of_manifest(head)) == people.log(head)
        assert list(recalled.of_entry(head, "a")) == expected


# ── One entry ────────────────────────────────────────────────────────────────────────────────


async def of(desk: Desk, name: str, count: int = 100, after: str | None = None) -> list[Change]:
    branch = await desk.branch()
    manifest = await desk.registry.manifests.get(desk.project, branch.at.blob)
    artifact = Artifact(desk.project, branch.head, manifest.entries[name])
    return await desk.registry.history.of_artifact(artifact, after, count)


async def test_the_history_of_an_entry_has_its_changes_alone(desk: Desk) -> None:
    first = await desk.put("a", x=1)
    await desk.put("b")
    second = await desk.put("a", x=2)
    assert [(one.kind, one.commit) for one in await of(desk, "a")] == [
        (ChangeKind.MODIFIED, second),
        (ChangeKind.ADDED, first),
    ]


async def test_a_broken_file_in_between_is_no_change_of_an_entry(desk: Desk) -> None:
    first = desk.push("a: {x: 1}\n")
    desk.push("a: [\n")
    desk.push("a: {x: 1}  # again\n")
    await desk.follow()
    assert [one.commit for one in await of(desk, "a")] == [first]


async def test_a_deletion_and_a_return_are_both_in_the_history(desk: Desk) -> None:
    await desk.put("a", x=1)
    await desk.delete("a")
    await desk.put("a", x=1)
    assert [one.kind.value for one in await of(desk, "a")] == ["ADDED", "REMOVED", "ADDED"]


@pytest.fixture
async def merged(desk: Desk) -> tuple[Desk, dict[str, str]]:
    """Two lines that changed an entry each, and their merge."""
    tree = {"base": ("1", "1", []), "ours": ("2", "1", ["base"]), "theirs": ("1", "2", ["base"])}
    oids: dict[str, str] = {}
    for at, (name, (a, b, parents)) in enumerate({**tree, "merge": ("2", "2", ["ours", "theirs"])}.items()):
        text = f"a: {{x: {a}}}\nb: {{x: {b}}}\n"
        oids[name] = graft(desk.repository, [oids[parent] for parent in parents], {PATH: text}, at)
    force(desk.repository, "main", oids["merge"])
    await desk.follow()
    return desk, oids


async def test_a_merge_did_not_do_what_came_in_by_it(merged: tuple[Desk, dict[str, str]]) -> None:
    desk, oids = merged
    assert [one.commit for one in await of(desk, "b")] == [oids["theirs"], oids["base"]]
    assert [one.commit for one in await of(desk, "a")] == [oids["ours"], oids["base"]]


async def test_the_history_of_a_branch_has_the_merge(merged: tuple[Desk, dict[str, str]]) -> None:
    desk, oids = merged
    listed = await desk.registry.history.of_branch(await desk.branch(), None, 100)
    assert [one.oid for one in listed] == [oids[name] for name in ("merge", "theirs", "ours", "base")]


async def test_a_merge_that_chose_an_older_value_did_not_change_it(desk: Desk) -> None:
    base = graft(desk.repository, [], {PATH: "a: {x: 1}\nb: {x: 1}\n"}, 0)
    ours = graft(desk.repository, [base], {PATH: "a: {x: 2}\nb: {x: 1}\n"}, 1)
    theirs = graft(desk.repository, [base], {PATH: "a: {x: 1}\nb: {x: 2}\n"}, 2)
    force(desk.repository, "main", graft(desk.repository, [ours, theirs], {PATH: "a: {x: 1}\nb: {x: 3}\n"}, 3))
    await desk.follow()
    assert [one.commit for one in await of(desk, "a")] == [base]


async def test_a_merge_that_made_something_of_its_own_changed_it(desk: Desk) -> None:
    ours = graft(desk.repository, [], {PATH: "a: {x: 1}\n"}, 1)
    theirs = graft(desk.repository, [], {PATH: "a: {x: 2}\n"}, 2)
    merge = graft(desk.repository, [ours, theirs], {PATH: "a: {x: 3}\n"}, 3)
    force(desk.repository, "main", merge)
    await desk.follow()
    newest = (await of(desk, "a"))[0]
    assert (newest.commit, newest.kind) == (merge, ChangeKind.MODIFIED)


async def test_a_page_goes_on_after_a_commit(desk: Desk) -> None:
    oids = [await desk.put("a", x=number) for number in range(5)][::-1]
    assert [one.commit for one in await of(desk, "a", count=2, after=oids[1])] == oids[2:4]
    listed = await desk.registry.history.of_branch(await desk.branch(), oids[3], 10)
    assert [one.oid for one in listed] == oids[4:]


async def test_a_page_after_a_commit_the_walk_does_not_come_by_is_refused(desk: Desk) -> None:
    await desk.put("a")
    with pytest.raises(InvalidInputError):
        await of(desk, "a", after="0" * 40)


# ── One commit ───────────────────────────────────────────────────────────────────────────────


async def commit(desk: Desk, oid: str) -> Any:
    found = await desk.registry.history.commit(desk.project, oid)
    assert found
    return found


async def test_a_commit_s_changes_are_those_against_its_first_parent(merged: tuple[Desk, dict[str, str]]) -> None:
    desk, oids = merged
    assert [one.name for one in await desk.registry.history.changes(await commit(desk, oids["merge"]))] == ["b"]
    assert [one.name for one in await desk.registry.history.changes(await commit(desk, oids["base"]))] == ["a", "b"]


async def test_any_two_commits_can_be_compared(merged: tuple[Desk, dict[str, str]]) -> None:
    desk, oids = merged
    found = await desk.registry.history.comparison(await commit(desk, oids["theirs"]), await commit(desk, oids["ours"]))
    assert [(one.name, one.commit) for one in found] == [("a", oids["ours"]), ("b", oids["ours"])]


async def test_a_broken_commit_serves_the_last_good_manifest(desk: Desk) -> None:
    desk.push("a: {x: 1}\n")
    broken = desk.push("a: [\n")
    assert list((await desk.registry.history.manifest(await commit(desk, broken))).entries) == ["a"]


@pytest.mark.parametrize("back", [0, 1, 20, 21, 29])
async def test_a_commit_may_be_named_by_how_far_back_it_is(desk: Desk, back: int) -> None:
    for number in range(30):
        await desk.put("a", x=number)
    found = await desk.registry.history.at(desk.project, f"main~{back}")
    assert found
    assert found.oid == desk.log()[back]


@pytest.mark.parametrize("back", [5, 50, 999_999])
async def test_nothing_is_further_back_than_the_first_commit(desk: Desk, back: int) -> None:
    await desk.put("a")
    assert await desk.registry.history.at(desk.project, f"main~{back}") is None


@pytest.mark.parametrize("oid", ["0" * 40, "", "HEAD", "../../etc/passwd", "a\nb", "\ud800"])
async def test_what_is_no_commit_is_none(desk: Desk, oid: str) -> None:
    assert await desk.registry.history.commit(desk.project, oid) is None


async def test_an_entry_of_another_commit_can_be_read(desk: Desk) -> None:
    first = await desk.put("a", x=1)
    await desk.commit(put("a", x=2))
    entry, source = await desk.registry.history.source(await commit(desk, first), "a")
    assert entry
    assert entry.entry == {"x": 1}
    assert source.decode() == desk.text(first)
