"""Names of refs that lead elsewhere: whatever is asked of them, no file but a ref's is read, made or removed."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.stores.errors import RefConflictError, RefMovedError
from app.stores.git.hosted import DiskRepository
from app.stores.git.locks import Turns
from app.stores.git.refs import DiskRefs, is_ref
from app.stores.ports import NewCommit, Signature

LEADS = ["refs", "heads", "tags", "main", "HEAD", "config", "packed-refs", "objects", "registry", "lock"]
PARTS = st.sampled_from([*LEADS, "other.git", "secret", "..", ".", "", "x.lock", "\0", "\udcff"]) | st.text(max_size=4)
NAMES = st.builds("/".join, st.lists(PARTS, max_size=7))


@dataclass
class Place:
    """Two repositories and a file beside them."""

    root: Path
    head: str
    refs: DiskRefs
    turns: Turns

    def files(self) -> dict[str, bytes]:
        """What is there, but for the lock of the turn and the refs' own folders."""
        own = (self.root / "own.git/refs/heads", self.root / "own.git/refs/tags", self.root / "own.git/registry")
        found = (path for path in self.root.rglob("*") if not any(path.is_relative_to(folder) for folder in own))
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return laid_out(tmp_path_factory.mktemp("names"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return laid_out(tmp_path)


def laid_out(root: Path) -> Place:
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    for name in ("own.git", "other.git"):
        DiskRepository.create(root / name, "main", NewCommit({}, "Begin", who, who))
    head = DiskRepository(root / "own.git").head("main")
    assert head
    (root / "secret").write_text(f"{head}\n")
    turns = Turns(root / "own.git")
    return Place(root, head, DiskRefs(root / "own.git", turns), turns)


@example("HEAD")
@example("refs/heads/../../HEAD")
@example("refs/heads/../../../secret")
@example("refs/heads/./main")
@example("refs/heads/../../../other.git/refs/heads/main")
@example("refs/heads/main/../main")
@example("refs/heads//main")
@given(NAMES)
def test_what_is_no_ref_is_not_read_made_or_removed(shared: Place, name: str) -> None:
    if is_ref(name):
        return
    before = shared.files()
    assert shared.refs.read(name) is None
    with shared.turns.turn():
        for expected in (shared.head, None):
            with pytest.raises(RefConflictError):
                shared.refs.check(name, expected)
            with pytest.raises(RefConflictError):
                shared.refs.move(name, expected, shared.head)
        with pytest.raises(RefConflictError):
            shared.refs.delete(name, shared.head)
    assert shared.files() == before
    assert shared.refs.read("refs/heads/main") == shared.head


@given(NAMES)
def test_what_is_a_ref_stays_below_the_refs(shared: Place, name: str) -> None:
    ref = f"refs/heads/dev/{name}"
    before = shared.files()
    with shared.turns.turn(), suppress(RefConflictError, RefMovedError):
        shared.refs.move(ref, None, shared.head)
        assert shared.refs.read(ref) == shared.head
        shared.refs.delete(ref, shared.head)
    assert shared.files() == before


def test_a_ref_that_is_a_link_is_removed_and_moved_without_what_it_leads_to(place: Place) -> None:
    for name in ("one", "two"):
        (place.root / "own.git/refs/heads" / name).symlink_to(place.root / "secret")
    before = place.files()
    with place.turns.turn():
        place.refs.delete("refs/heads/one", place.head)
        place.refs.move("refs/heads/two", place.head, place.head)
    assert place.files() == before
    assert place.refs.names("refs/heads/") == ["refs/heads/main", "refs/heads/two"]


def test_deleting_a_symbolic_ref_leaves_the_branch_it_leads_to(place: Place) -> None:
    (place.root / "own.git/refs/heads/alias").write_text("ref: refs/heads/main\n")
    with place.turns.turn():
        place.refs.delete("refs/heads/alias", place.head)
    assert place.refs.names("refs/heads/") == ["refs/heads/main"]
