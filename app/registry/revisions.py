"""Revisions: the names of commits that callers write, and what they stand for."""

import re
from dataclasses import dataclass

from app.registry import names
from app.registry.errors import InvalidInputError
from app.stores.errors import CommitNotFoundError
from app.stores.ports import Repository

ABBREVIATED = re.compile(r"[0-9a-fA-F]{4,40}\Z")  # four is the least git takes for one
SUFFIX = re.compile(r"(?P<name>.*?)(~(?P<back>[0-9]{0,6}))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Revision:
    """A name (HEAD, a branch, refs/heads/x, refs/tags/x, a tag, a full commit id) and how many first parents back."""

    name: str
    back: int = 0


def parse(text: str) -> Revision:
    """Read a revision. Raises InvalidInputError for what can be none. An abbreviated id is a name nothing has."""
    match = SUFFIX.match(text)
    name = match["name"] if match else ""
    back = int(match["back"] or 1) if match and match["back"] is not None else 0
    short = name.removeprefix("refs/heads/").removeprefix("refs/tags/")
    if name != "HEAD" and (problem := names.problem_with_branch(short)):
        raise InvalidInputError.of(
            "revision",
            f"{text!r} is no revision: {problem} Give HEAD, a branch, a tag or a full commit id, and ~n after it.",
        )
    return Revision(name, back)


def resolve(repository: Repository, revision: Revision) -> str | None:
    """Blocking. The commit a revision stands for, or None. A branch wins over a tag, and both over a commit id.

    Raises InvalidInputError for what only an abbreviated id could be.
    """
    refs = repository.refs()
    name = refs.default if revision.name == "HEAD" else revision.name
    oid = (
        refs.heads.get(name.removeprefix("refs/heads/"))
        or refs.tags.get(name.removeprefix("refs/tags/"))
        or (name if names.OID.match(name) else None)
    )
    if oid is None and ABBREVIATED.match(name):
        raise InvalidInputError.of(
            "revision",
            f"There is no branch or tag {name!r}, and a commit id is never abbreviated: give all 40 lowercase digits.",
        )
    try:
        for _ in range(revision.back):
            if oid is None:
                return None
            oid = next(iter(repository.commit(oid).parents), None)
        return repository.commit(oid).oid if oid else None
    except CommitNotFoundError:
        return None
