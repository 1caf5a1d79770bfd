"""The commands that make, list and revoke API tokens where the catalogue is."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.registry.access.file import read_policy
from app.registry.access.identity import Role
from app.registry.access.policy import Policy
from app.registry.access.tokens import Scope, Tokens
from app.registry.model import Actor
from app.stores.git.hosted import DiskRepository
from tests.support.cli import Ran, call, run
from tests.support.elsewhere import elsewhere
from tests.support.git import clone, git, push_file

NOWHERE = "http://127.0.0.1:1"
ACTOR = {"REGISTRY_ACTOR_NAME": "Ada", "REGISTRY_ACTOR_EMAIL": "ada@example.org"}
TOKEN = re.compile(r"mlr_[A-Za-z0-9_-]{43}\n\Z")


def begin(catalogue: Path) -> Path:
    git("init", "--quiet", "--bare", "--initial-branch=main", catalogue)
    push_file(clone(catalogue, catalogue.parent / "tree"), "projects.yml", b"# none yet\n")
    return catalogue.parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a catalogue."""
    return begin(tmp_path / "catalog.git")


def token(home: Path, *words: str) -> Ran:
    return call(NOWHERE, "token", *words, "--data-dir", str(home))


def text_in(catalogue: Path) -> str:
    return git("show", "main:access.yml", at=catalogue)


def policy_in(catalogue: Path) -> Policy:
    return read_policy(text_in(catalogue).encode())


def test_a_token_is_shown_once_and_only_its_hash_is_committed(home: Path) -> None:
    words = ["ci", "--role", "writer", "--project", "search/*", "--author", "CI <ci@example.org>"]
    ran = run(NOWHERE, "token", "create", *words, "--data-dir", str(home), **ACTOR)
    assert ran.code == 0
    assert TOKEN.match(ran.out)
    assert ran.out.strip() not in ran.err
    made = policy_in(home / "catalog.git").tokens[hashlib.sha256(ran.out.strip().encode()).hexdigest()]
    assert (made.name, made.actor) == ("ci", Actor("CI", "ci@example.org"))
    assert abs(made.expires_at - (datetime.now(UTC) + timedelta(days=90)).timestamp()) < 300
    assert policy_in(home / "catalog.git").role(made.identity, "search/topics") is Role.WRITER
    assert policy_in(home / "catalog.git").role(made.identity, "prod/topics") is Role.NOBODY
    everything = git("log", "-p", "--format=%an %ae %s %b", at=home / "catalog.git")
    assert "Ada ada@example.org Create token ci" in everything
    assert ran.out.strip().removeprefix("mlr_") not in everything


def test_tokens_are_listed_and_revoked(home: Path) -> None:
    token(home, "create", "ci", "--role", "writer", "--project", "search/*", "--project", "prod/?", "--expires", "1d")
    token(home, "create", "root", "--role", "admin")
    listed = token(home, "list")
    assert listed.code == 0
    title, *rows = (re.split(r"  +", line) for line in listed.out.splitlines())
    assert title == ["name", "may", "expires", "author"]
    assert [row[:2] for row in rows] == [["ci", "writer search/* prod/?"], ["root", "admin *"]]
    assert token(home, "revoke", "ci").code == 0
    assert [one.name for one in policy_in(home / "catalog.git").tokens.values()] == ["root"]
    assert token(home, "revoke", "ci").code == 1


def test_a_name_is_given_once(home: Path) -> None:
    token(home, "create", "ci", "--role", "writer")
    before = text_in(home / "catalog.git")
    ran = token(home, "create", "ci", "--role", "admin")
    assert (ran.code, ran.out) == (1, "")
    assert "revoke that one first" in ran.err
    assert text_in(home / "catalog.git") == before


def test_what_people_wrote_stays_as_it_is(home: Path) -> None:
    words = b"# reviewed by Grace\ngrants:\n  - {who: [anyone], role: reader, projects: ['*']}  # for now\n"
    push_file(home / "tree", "access.yml", words)
    assert token(home, "create", "ci", "--role", "writer").code == 0
    assert text_in(home / "catalog.git").startswith(words.decode())
    assert token(home, "list").out.count("\n") == 2


def test_a_broken_file_is_left_alone_and_its_line_named(home: Path) -> None:
    push_file(home / "tree", "access.yml", b"grants: []\nusers: {}\n")
    before = git("rev-parse", "main", at=home / "catalog.git")
    for words in (["create", "ci", "--role", "writer"], ["revoke", "ci"], ["list"]):
        ran = token(home, *words)
        assert (ran.code, ran.out) == (4, "")
        assert "access.yml, line 2: Nothing is called 'users' here" in ran.err
    assert git("rev-parse", "main", at=home / "catalog.git") == before


def test_a_link_is_not_followed(home: Path) -> None:
    (home / "tree" / "access.yml").symlink_to("projects.yml")
    git("add", "access.yml", at=home / "tree")
    git("commit", "--quiet", "-m", "Link", at=home / "tree")
    git("push", "--quiet", "origin", "main", at=home / "tree")
    ran = token(home, "create", "ci", "--role", "writer")
    assert ran.code == 4
    assert "no plain file" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["a/b", "--role", "writer"],
        ["ci", "--role", "owner"],
        ["ci"],
        ["ci", "--role", "writer", "--expires", "367d"],
        ["ci", "--role", "writer", "--expires", "0d"],
        ["ci", "--role", "writer", "--expires", "90"],
        ["ci", "--role", "writer", "--project", "a b"],
        ["ci", "--role", "writer", "--author", "Ada"],
    ],
)
def test_wrong_use_makes_no_token(home: Path, words: list[str]) -> None:
    ran = token(home, "create", *words)
    assert (ran.code, ran.out) == (2, "")
    assert git("ls-tree", "--name-only", "main", at=home / "catalog.git") == "projects.yml"


def test_where_no_registry_is_it_says_so_and_makes_none(tmp_path: Path) -> None:
    ran = token(tmp_path / "none", "create", "ci", "--role", "writer")
    assert ran.code == 3
    assert "There is no registry in" in ran.err
    assert not (tmp_path / "none").exists()


def test_a_catalogue_that_lies_elsewhere_gets_its_token_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(tmp_path) as there:
        catalogue = there.repository("catalog", manifest=None)
        for name, value in {**there.settings, **there.shared}.items():
            monkeypatch.setenv(name, value)
        ran = token(tmp_path / "var", "create", "ci", "--role", "writer")
        assert ran.code == 0, ran.err
        assert [one.name for one in policy_in(catalogue).tokens.values()] == ["ci"]
        there.host.moods.every = "503"
        again = token(tmp_path / "var", "create", "cd", "--role", "writer")
        assert (again.code, again.out) == (3, "")


def test_tokens_made_at_once_are_all_there(home: Path) -> None:
    names = [f"t{number}" for number in range(4)]
    scope = Scope(Role.READER, ("*",), datetime.now(UTC) + timedelta(days=1))

    def make(name: str) -> str:
        return Tokens(DiskRepository(home / "catalog.git")).create(name, scope, Actor("Ada", "ada@example.org"))

    with ThreadPoolExecutor(len(names)) as pool:
        texts = list(pool.map(make, names))
    made = policy_in(home / "catalog.git").tokens
    assert [made[hashlib.sha256(text.encode()).hexdigest()].name for text in texts] == names
