"""The journal: one order for everything that moved, whoever writes it, and nothing missing after a crash."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.registry import journal
from app.registry.errors import CursorExpiredError
from app.registry.journal import Journal, Moved, Record
from app.stores.errors import RepositoryCorruptError
from app.stores.git.memory import MemoryGit, MemoryRepository
from app.stores.ports import NewCommit, Signature
from tests.support.domain import force, push

NAMES = ["a", "b/c"]
GRACE = Signature("Grace", "grace@example.org", datetime(2026, 5, 4, tzinfo=UTC))


class Desk:
    """A catalogue and two projects, as people and servers change them."""

    def __init__(self) -> None:
        self.git = MemoryGit()
        first = NewCommit({}, "Begin", GRACE, GRACE)
        for name in ("catalog", *NAMES):
            self.git.create(name, "main", first)
        self.catalogue = self.git.repository("catalog")

    def journal(self) -> Journal:
        """Another server's, or this one's after a restart."""
        made = Journal(self.catalogue, self.git)
        made.refresh()
        return made

    def project(self, name: str = "a") -> MemoryRepository:
        return self.git.repository(name)

    def heads(self) -> dict[str, dict[str, str]]:
        return {name: dict(self.project(name).refs().heads) for name in NAMES}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def positions(one: Journal) -> dict[str, dict[str, str]]:
    return {name: dict(one.position(name)) for name in NAMES}


def test_what_moved_is_written_once(desk: Desk) -> None:
    one = desk.journal()
    begun = desk.project().head("main")
    (first,) = one.record(["a"])
    assert first.moves == (Moved("a", "main", None, begun),)
    head = push(desk.project(), {"x": b"1"})
    (second,) = one.record(["a", "b/c"])
    assert set(second.moves) == {
        Moved("a", "main", begun, head),
        Moved("b/c", "main", None, desk.project("b/c").head("main")),
    }
    assert one.record(NAMES) == []
    assert desk.catalogue.commit(second.oid).parents == (first.oid,)


def test_a_deleted_branch_is_a_move_to_nowhere(desk: Desk) -> None:
    one = desk.journal()
    head = desk.project().head("main") or ""
    desk.project().create_branch("next", head)
    one.record(["a"])
    desk.project().delete_branch("next", head)
    (record,) = one.record(["a"])
    assert record.moves == (Moved("a", "next", head, None),)
    assert one.position("a") == {"main": head}


def test_a_project_that_cannot_be_read_holds_up_no_other(desk: Desk) -> None:
    (record,) = desk.journal().record(["a", "gone"])
    assert [move.project for move in record.moves] == ["a"]


def changes(desk: Desk, dice: random.Random) -> None:
    """One thing a person may do to a branch."""
    repository = desk.project(dice.choice(NAMES))
    branch = dice.choice(["main", "x", "y/z"])
    head = repository.head(branch)
    what = dice.choice(["push", "push", "delete", "force"])
    if what == "push" or head is None:
        push(repository, {"file": str(dice.random()).encode()}, branch)
    elif what == "delete":
        repository.delete_branch(branch, head)
    else:
        force(repository, branch, repository.head("main") or head)


@pytest.fixture(params=range(5))
def dice(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)  # noqa: S311 - the same moves every time


def chain(records: list[Record]) -> dict[str, dict[str, str]]:
    """Where a list of moves leads; each must begin where the one before ended."""
    found: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    for move in (move for record in records for move in record.moves):
        assert found[move.project].get(move.branch) == move.before
        assert move.before != move.after
        found[move.project].pop(move.branch, None)
        if move.after:
            found[move.project][move.branch] = move.after
    return found


def test_any_moves_are_one_chain_and_a_restart_knows_where_it_ends(
    desk: Desk, dice: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "EVERY", 4)
    monkeypatch.setattr(journal, "KEPT", 3)
    one = desk.journal()
    written: list[Record] = []
    for _ in range(40):
        changes(desk, dice)
        written += one.record(NAMES)
        assert positions(one) == positions(desk.journal()) == chain(written) == desk.heads()
    for place in range(0, len(written), 5):
        for reader in (one, desk.journal()):
            assert list(reader.after(written[place].oid)) == written[place + 1 :]
            assert list(reader.behind(written[place].oid)) == written[place + 1 :]
            assert reader.at(written[place].oid) == written[place]
    assert list(one.after(None)) == list(desk.journal().after(None)) == list(one.behind(None)) == written


def test_servers_that_write_in_turn_agree(desk: Desk, dice: random.Random) -> None:
    servers = [desk.journal() for _ in range(3)]
    heard: list[list[Record]] = [[] for _ in servers]
    for _ in range(40):
        changes(desk, dice)
        place = dice.randrange(3)
        heard[place] += servers[place].record(NAMES)
    for place, server in enumerate(servers):
        heard[place] += server.refresh()
    assert heard[0] == heard[1] == heard[2] == list(servers[0].after(None))
    assert chain(heard[0]) == desk.heads()


class Racing(MemoryRepository):
    """A catalogue into which somebody else writes just before us."""

    rivals: Iterator[Journal]

    def write_commits(self, branch: str, expected: str | None, commits: object) -> tuple[str, ...]:
        rival = next(self.rivals, None)
        if rival:
            rival.record(NAMES)
        return super().write_commits(branch, expected, commits)  # type: ignore[arg-type]


def test_a_race_that_is_lost_records_nothing_twice_and_nothing_backwards(desk: Desk) -> None:
    one = desk.journal()
    one.record(NAMES)
    rivals = [desk.journal() for _ in range(3)]
    desk.catalogue.__class__ = Racing
    assert isinstance(desk.catalogue, Racing)
    desk.catalogue.rivals = iter(rivals)
    push(desk.project(), {"x": b"1"})
    new = one.record(NAMES)
    assert [len(record.moves) for record in new] == [1]
    assert chain(list(one.after(None))) == chain(list(desk.journal().after(None))) == desk.heads()


def test_a_place_that_is_in_no_journal_has_expired(desk: Desk) -> None:
    one = desk.journal()
    one.record(NAMES)
    for oid in ("0" * 40, desk.catalogue.head("main") or "", "no id"):
        for read in (one.after, one.behind):
            with pytest.raises(CursorExpiredError):
                list(read(oid))


def test_a_place_that_another_server_wrote_a_moment_ago_is_known(desk: Desk) -> None:
    one, other = desk.journal(), desk.journal()
    one.record(["a"])
    (newest,) = one.record(["b/c"])
    assert list(other.after(newest.oid)) == []
    assert other.tip == newest.oid


def test_a_journal_that_was_put_in_anothers_place_is_read_anew(desk: Desk) -> None:
    one = desk.journal()
    (first,) = one.record(["a"])
    desk.catalogue.delete_branch("journal", first.oid)
    other = desk.journal()
    other.record(NAMES)
    assert one.record(NAMES) == []
    assert positions(one) == desk.heads()


def test_a_commit_that_is_no_record_is_said_to_be_none(desk: Desk) -> None:
    one = desk.journal()
    one.record(["a"])
    wrong = NewCommit({}, "By hand\n\n[1, 2]\n", GRACE, GRACE)
    desk.catalogue.write_commits("journal", desk.catalogue.head("journal"), [wrong])
    with pytest.raises(RepositoryCorruptError, match="no record"):
        one.refresh()
