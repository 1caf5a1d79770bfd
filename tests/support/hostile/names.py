"""Names that mean more than they say, in every place a name goes."""

from collections.abc import Iterator
from typing import Any

from tests.support.api import document
from tests.support.hostile.day import Hostile, Target, hostile

ANYWHERE: list[tuple[str, str]] = [
    ("nothing", ""),
    ("dots", ".."),
    ("a path that leads out", "../../etc/passwd"),
    ("a path that leads out, encoded", "..%2f..%2fetc"),
    ("an absolute path", "/etc/passwd"),
    ("a path of Windows", "..\\..\\x"),
    ("two slashes", "a//b"),
    ("a slash at the end", "a/"),
    (".git", ".git"),
    ("a part that is .git", "a/.GIT/b"),
    ("a lock", "a/x.lock/"),
    ("NUL", "a\0b"),
    ("a line end", "a\nb"),
    ("a return", "a\rb"),
    ("an escape of a terminal", "\x1b[31mred"),
    ("right to left", "a\u202etxt.exe"),
    ("a space of no width", "a\u200bb/"),
    ("half a surrogate pair", "\ud800"),
    ("letters in pieces", "e\u0301/"),
    ("10 000 letters", "a" * 10_000),
    ("spaces around", " a "),
    ("an option", "-oProxyCommand=id/../x"),
]
PROJECTS = [
    ("letters that look like others", "d\u0435mo"),
    ("a device", "a/NUL."),
    ("a repository", "a.git"),
    ("another's inside", "demo.git/objects"),
]
BRANCHES = [
    ("HEAD", "HEAD"),
    ("an at", "@"),
    ("a reflog", "a@{1}"),
    ("an ancestor", "a~1"),
    ("a range", "a..b"),
    ("a whole ref", "refs/heads/a"),
    ("an option", "-d"),
]


FREE = {
    "branch": {"right to left"},  # Git takes it
    "artifact": {"a path that leads out, encoded", "a path of Windows"},  # a key of a mapping leads nowhere
}


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, text in [*ANYWHERE, *PROJECTS]:
        yield named("project", name, "createProject", {"name": text})
    yield named("project", "the demo in capitals", "createProject", {"name": "DEMO"}, "200 AlreadyExistsError")
    for name, text in [*ANYWHERE, *BRANCHES]:
        yield named("branch", name, "createBranch", {"name": text})
    for name, text in ANYWHERE:
        yield named("artifact", name, "commitArtifacts", {"changes": [{"put": {"name": text, "type": "m"}}]})


def named(noun: str, name: str, field: str, members: dict[str, Any], answer: str = "200 InvalidInputError") -> Hostile:
    """A mutation that makes something of that name."""

    def send(target: Target) -> str:
        project = {} if field == "createProject" else {"project": target.work.name}
        return target.ask(document(field), {"input": {**project, **members}})

    return hostile(f"{noun}: {name}", send, "200" if name in FREE.get(noun, ()) else answer)
