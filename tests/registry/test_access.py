"""Which policy is in force, whatever becomes of the file it stands in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.registry.access.access import OPEN, Access
from app.registry.access.identity import Identity, Role
from app.registry.access.policy import ANYONE, EVERYTHING
from app.registry.access.sign_in import SignIn
from app.registry.errors import UnauthenticatedError
from app.registry.model import Actor
from app.registry.offload import Offload
from app.stores.git.memory import MemoryGit, MemoryRepository
from app.stores.ports import NewCommit, Signature
from tests.support.domain import ADA, force, graft, push

EVE = Identity(Actor("Eve", "eve@example.org"), frozenset({ANYONE, "user:eve"}))
GOOD = b'grants: [{who: ["user:eve"], role: writer, projects: ["search/*"]}]\n'
BETTER = b'grants: [{who: ["user:eve"], role: maintainer, projects: ["search/*"]}]\n'
PROTECTED = b"""
grants:
  - {who: ["user:eve"], role: writer, projects: ["*"]}
  - {who: [anyone], role: maintainer, projects: ["prod/*"]}
protected:
  - {projects: ["*"], branches: [main, "release/*"]}
  - {projects: ["prod/*"], branches: [main], api: closed}
"""


@pytest.fixture
def catalogue() -> MemoryRepository:
    git = MemoryGit()
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    git.create("catalog", "main", NewCommit({}, "Begin", who, who))
    return git.repository("catalog")


@pytest.fixture
async def offload() -> AsyncIterator[Offload]:
    made = Offload()
    yield made
    made.close()


async def follow(access: Access, catalogue: MemoryRepository, text: bytes) -> Role:
    push(catalogue, {"access.yml": text})
    await access.refresh()
    return access.role(EVE, "search/ranker")


async def test_everybody_may_do_everything_until_the_file_is_there_unless_sign_in_is_required(
    catalogue: MemoryRepository, offload: Offload
) -> None:
    lax, strict = Access(catalogue, offload, required=False), Access(catalogue, offload, required=True)
    await lax.refresh()
    await strict.refresh()
    assert (lax.policy, lax.required, lax.role(EVE, "p")) == (OPEN, False, Role.ADMIN)
    assert (strict.required, strict.role(EVE, "p")) == (True, Role.NOBODY)
    assert "token create" in str(strict.problem)
    assert await follow(lax, catalogue, GOOD) is Role.WRITER
    assert lax.required
    assert lax.role(EVE, "ads/ranker") is Role.NOBODY


async def test_a_change_is_in_force_at_the_next_look_and_counted(catalogue: MemoryRepository, offload: Offload) -> None:
    access = Access(catalogue, offload, required=True)
    assert await follow(access, catalogue, GOOD) is Role.WRITER
    before = access.version
    assert await follow(access, catalogue, BETTER) is Role.MAINTAINER
    assert access.version > before


async def test_a_commit_that_leaves_the_file_alone_changes_nothing(
    catalogue: MemoryRepository, offload: Offload
) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, GOOD)
    before = access.version
    push(catalogue, {"projects.yml": b"p: {}\n"})
    await access.refresh()
    assert (access.version, access.role(EVE, "search/ranker")) == (before, Role.WRITER)


@pytest.mark.parametrize(
    "broken", [b"grants: [\n", b"grants: [{who: [anyone], role: king}]\n", b"\xff", b"x" * 2_000_000]
)
async def test_a_broken_file_leaves_the_last_good_policy_and_says_why(
    catalogue: MemoryRepository, offload: Offload, broken: bytes
) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, GOOD)
    assert await follow(access, catalogue, broken) is Role.WRITER
    assert access.problem
    assert await follow(access, catalogue, BETTER) is Role.MAINTAINER
    assert access.problem is None


async def test_a_file_that_is_broken_at_first_lets_nobody_do_anything(
    catalogue: MemoryRepository, offload: Offload
) -> None:
    for required in (False, True):
        access = Access(catalogue, offload, required=required)
        assert await follow(access, catalogue, f"grants: [ # {required}\n".encode()) is Role.NOBODY
        assert access.required


async def test_a_file_that_was_deleted_leaves_the_last_good_policy(offload: Offload) -> None:
    git = MemoryGit()
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    git.create("catalog", "main", NewCommit({"access.yml": GOOD}, "Begin", who, who))
    access = Access(git.repository("catalog"), offload, required=False)
    await access.refresh()
    empty = MemoryGit()
    empty.create("catalog", "main", NewCommit({"projects.yml": b""}, "Begin", who, who))
    access._repository = empty.repository("catalog")  # noqa: SLF001 - as after a forced push
    await access.refresh()
    assert (access.role(EVE, "search/ranker"), "deleted" in str(access.problem)) == (Role.WRITER, True)


@pytest.mark.parametrize(("mode", "kind"), [(0o120000, "symlink"), (0o160000, "submodule")])
async def test_what_is_no_regular_file_is_never_followed(
    catalogue: MemoryRepository, offload: Offload, mode: int, kind: str
) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, GOOD)
    force(catalogue, "main", graft(catalogue, [], {"access.yml": BETTER.decode()}, mode=mode))
    await access.refresh()
    assert (access.role(EVE, "search/ranker"), kind in str(access.problem)) == (Role.WRITER, True)


async def test_protected_branches_take_a_maintainer_and_closed_ones_take_git(
    catalogue: MemoryRepository, offload: Offload
) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, PROTECTED)
    open_, protected, closed = ("ads/x", "dev/y"), ("ads/x", "release/1"), ("prod/x", "main")
    by_api = [access.refusal(EVE, *place) is None for place in (open_, protected, closed)]
    by_git = [access.refusal(EVE, *place, by_git=True) is None for place in (open_, protected, closed)]
    assert (by_api, by_git) == ([True, False, False], [True, False, True])


@pytest.mark.parametrize(("pattern", "role"), [("*", Role.ADMIN), ("?", Role.NOBODY), ("[!x]*", Role.NOBODY)])
async def test_everything_is_what_one_pattern_says_and_no_other_that_matches_its_name(
    catalogue: MemoryRepository, offload: Offload, pattern: str, role: Role
) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, f'grants: [{{who: [anyone], role: admin, projects: ["{pattern}"]}}]'.encode())
    assert (access.role(EVE, EVERYTHING), access.role(EVE, "p")) == (role, Role.ADMIN)


async def test_names_too_long_for_a_project_are_not_remembered(catalogue: MemoryRepository, offload: Offload) -> None:
    access = Access(catalogue, offload, required=True)
    await follow(access, catalogue, GOOD)
    remembered = len(access._roles)  # noqa: SLF001 - nobody outside sees it but in the server's memory
    assert access.role(EVE, "search/" + "x" * 1_000_000) is Role.WRITER
    assert len(access._roles) == remembered  # noqa: SLF001 - the same


async def test_while_nobody_has_to_sign_in_everybody_is_the_owner(
    catalogue: MemoryRepository, offload: Offload
) -> None:
    sign_in = SignIn(Access(catalogue, offload, required=False), ADA)
    assert (await sign_in.identify(None)).actor == (await sign_in.identify("whatever")).actor == ADA


@pytest.mark.parametrize("token", [None, "", "mlr_", "mlr_" + "x" * 43, "eyJhbGciOiJub25lIn0.e30.", "é"])
async def test_whoever_shows_nothing_good_is_nobody(
    catalogue: MemoryRepository, offload: Offload, token: str | None
) -> None:
    sign_in = SignIn(Access(catalogue, offload, required=True), ADA)
    with pytest.raises(UnauthenticatedError):
        await sign_in.identify(token)
