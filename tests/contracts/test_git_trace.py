"""What every Git adapter reads of a history, with the stock client on the PATH and without."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich.objects import Blob

from app.registry.graph import CommitGraph
from app.stores.errors import CommitNotFoundError, RepositoryCorruptError
from app.stores.git import hosted, tracing
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.git.memory import MemoryRepository
from app.stores.ports import NewCommit, Signature, Trace, TreeEntry
from tests.support.domain import graft
from tests.support.git import git
from tests.support.histories import PATH, History, write

Row = tuple[tuple[str, ...], int, TreeEntry | None]


def take(road: str, patch: pytest.MonkeyPatch, nowhere: Path) -> None:
    """Make a repository on disk be read by the stock client, or by us, for either of two reasons."""
    patch.setattr(hosted, "LITTLE", 10_000 if road == "little to read" else 3)
    if road == "no git":
        patch.setenv("PATH", str(nowhere))


ROADS = ["stock git", "little to read", "no git"]


def rows(parts: list[Trace], known: Mapping[str, Row] | None = None) -> dict[str, Row]:
    """What a trace says of each commit beside those known: parents, time, and what stands at the path."""
    found = dict(known or {})
    said = {oid: entry for part in parts for oid, entry in part.entries.items()}
    told = [row for part in parts for row in zip(part.oids, part.parents, part.times, strict=True)]
    waiting = {oid: (tuple(parents.split()), time) for oid, parents, time in told}
    assert len(waiting) == len(told), "no commit is told twice"
    assert found.keys().isdisjoint(waiting)
    while waiting:
        for oid, (parents, time) in list(waiting.items()):
            if oid in said or not parents or parents[0] in found:
                inherited = found[parents[0]][2] if parents and parents[0] in found else None
                found[oid] = (parents, time, said.get(oid, inherited))
                del waiting[oid]
    return found


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(("seed", "path"), [(1, PATH), (2, PATH), (3, "deep/er/artifacts.yml"), (4, 'odd "[a]*.yml')])
def test_a_history_is_read_as_the_stock_client_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: str, seed: int, path: str
) -> None:
    git("init", "--quiet", "--bare", tmp_path / "p.git")
    history = write(tmp_path / "p.git", seed, 80, manifest=path)
    head, other = (history.git("rev-parse", branch) for branch in ("b80", "b61"))
    expected, more = of_git(history, path, head), of_git(history, path, other, f"^{head}")
    take(road, monkeypatch, tmp_path)
    repository = DiskRepository(tmp_path / "p.git")
    known = rows(list(repository.trace(path, head, (), ())))
    assert known == expected
    assert rows(list(repository.trace(path, other, known, {head})), known) == {**expected, **more}


def test_a_history_in_memory_is_read_the_same() -> None:
    repository = MemoryRepository("main")
    oids: list[str] = []
    for number, text in enumerate(["1", "1", "2", None]):
        files = {"readme": str(number)} | ({} if text is None else {PATH: text})
        oids.append(graft(repository, oids[-1:], files, at=number))
    blob = {text: Blob.from_string(text.encode()).id.decode() for text in ("1", "2")}
    assert rows(list(repository.trace(PATH, oids[-1], {oids[0]}, {oids[0]}))) == {
        oids[1]: ((oids[0],), 1, TreeEntry(0o100644, blob["1"])),
        oids[2]: ((oids[1],), 2, TreeEntry(0o100644, blob["2"])),
        oids[3]: ((oids[2],), 3, None),
    }


@pytest.mark.parametrize("road", ROADS)
def test_what_is_known_already_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: str) -> None:
    HostedGit(tmp_path).create("p", "main", new())
    take(road, monkeypatch, tmp_path)
    repository = DiskRepository(tmp_path / "p.git")
    head = repository.head("main") or ""
    assert rows(list(repository.trace(PATH, head, {head}, {head}))) == {}


def test_a_commit_nobody_has_is_not_found(tmp_path: Path) -> None:
    HostedGit(tmp_path).create("p", "main", new())
    with pytest.raises(CommitNotFoundError):
        list(DiskRepository(tmp_path / "p.git").trace(PATH, "0" * 40, (), ()))


@pytest.mark.parametrize("road", ROADS)
def test_a_missing_parent_is_a_corrupt_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: str) -> None:
    HostedGit(tmp_path).create("p", "main", new())
    repository = DiskRepository(tmp_path / "p.git")
    for number in range(8):
        head = repository.write_commits("main", repository.head("main"), [new(f"a: {number}\n")])[0]
    lost = git("rev-parse", "main~4", at=tmp_path / "p.git")
    (tmp_path / "p.git/objects" / lost[:2] / lost[2:]).unlink()
    take(road, monkeypatch, tmp_path)
    with pytest.raises(RepositoryCorruptError, match="missing"):
        list(repository.trace(PATH, head, (), ()))


@pytest.mark.parametrize("fails", ["rev-list", "log"])
def test_a_git_that_fails_is_told_of_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    real = shutil.which("git")
    HostedGit(tmp_path).create("p", "main", new())
    repository = DiskRepository(tmp_path / "p.git")
    for number in range(5):
        head = repository.write_commits("main", repository.head("main"), [new(f"a: {number}\n")])[0]
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *{fails}*) echo no such luck >&2; exit 3;; esac\nexec {real} "$@"\n')
    fake.chmod(0o755)
    take("stock git", monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    growth = CommitGraph().growth()
    for part in repository.trace(PATH, head, (), ()):
        growth.take(part)
    assert len(growth.oids) == len(growth.entries) == 6
    assert "no such luck" in caplog.text


def test_what_the_configuration_says_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", "--bare", tmp_path / "p.git")
    history = write(tmp_path / "p.git", 6, 60)
    expected = of_git(history, PATH, "b60")
    for name, value in {
        "log.showRoot": "false", "log.follow": "true", "log.diffMerges": "first-parent", "log.showSignature": "true",
        "diff.renames": "copies", "core.abbrev": "7", "format.pretty": "full",
    }.items():  # fmt: skip
        history.git("config", name, value)
    take("stock git", monkeypatch, tmp_path)
    assert rows(list(DiskRepository(history.path).trace(PATH, history.git("rev-parse", "b60"), (), ()))) == expected


def test_a_repack_in_the_middle_of_a_long_read_is_not_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", "--bare", tmp_path / "p.git")
    history = write(tmp_path / "p.git", 7, 60)
    expected = of_git(history, PATH, "b60")
    monkeypatch.setattr(tracing, "PART", 5)
    take("little to read", monkeypatch, tmp_path)
    monkeypatch.setattr(hosted, "LITTLE", 5)
    monkeypatch.setattr("app.stores.git.stock.find", lambda: None)
    parts = []
    for part in DiskRepository(history.path).trace(PATH, history.git("rev-parse", "b60"), (), ()):
        git("repack", "-adfq", "--depth=3", at=history.path)
        git("prune", at=history.path)
        parts.append(part)
    assert rows(parts) == expected


def new(text: str = "a: 1\n") -> NewCommit:
    who = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))
    return NewCommit({PATH: text.encode()}, "Say it\n", who, who)


def of_git(history: History, path: str, *revisions: str) -> dict[str, Row]:
    """Commits as stock commands tell them, one at a time."""
    found: dict[str, Row] = {}
    for line in history.git("rev-list", "--parents", "--timestamp", *revisions).splitlines():
        time, oid, *parents = line.split()
        shown = history.git("ls-tree", oid, path).split()
        found[oid] = (tuple(parents), int(time), TreeEntry(int(shown[0], 8), shown[2]) if shown else None)
    return found
