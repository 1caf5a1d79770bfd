"""Commits as bytes: read whatever other tools wrote, never failing; write what `git fsck` has nothing to say about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from dulwich.objects import Commit, ObjectID

from app.stores.errors import RepositoryCorruptError
from app.stores.ports import CommitRecord, NewCommit, Signature

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Two days short of what datetime can hold, so that no time zone carries a clamped moment over the edge.
EARLIEST = int((datetime(1, 1, 3, tzinfo=UTC) - EPOCH).total_seconds())
LATEST = int((datetime(9999, 12, 29, tzinfo=UTC) - EPOCH).total_seconds())
LONGEST_OFFSET = 23 * 60 + 59
MOMENT = re.compile(rb"\s*(?P<seconds>-?\d{1,20})(?:\s+(?P<sign>[+-]?)-?(?P<hours>\d{1,4}?)(?P<minutes>\d{2})?(?!\d))?")
LINKS = re.compile(
    rb"tree (?P<tree>[0-9a-f]{40})\n(?P<parents>(?:parent [0-9a-f]{40}\n)*)"
    rb"author [^\n]*\ncommitter [^\n]*> (?P<seconds>\d{1,20})(?: [+-]\d{4})?\n"
)
UNSAFE = re.compile(r"[\x00-\x1f\x7f<>]+")
HEX = re.compile(rb"[0-9a-f]{40}\Z")


def decode_commit(oid: str, raw: bytes) -> CommitRecord:
    """The commit in `raw`. Text that fits no encoding and dates beyond the calendar become the nearest that do fit.

    Raises RepositoryCorruptError when not even the tree can be told.
    """
    head, _, body = raw.partition(b"\n\n")
    headers = [line.split(b" ", 1) for line in head.split(b"\n") if b" " in line and not line.startswith(b" ")]
    first = dict(reversed([(header[0], header[1]) for header in headers]))
    parents = [value for key, value in headers if key == b"parent"]
    if not all(HEX.match(value) for value in (first.get(b"tree", b""), *parents)):
        raise RepositoryCorruptError(
            f"Commit {oid} is garbled: its tree or parents are no ids. Restore it from a clone."
        )
    encoding = first.get(b"encoding", b"utf-8").decode("ascii", "replace")
    author = decode_signature(first.get(b"author", b""), encoding)
    return CommitRecord(
        oid=oid,
        parents=tuple(value.decode() for value in parents),
        tree=first[b"tree"].decode(),
        author=author,
        committer=decode_signature(first[b"committer"], encoding) if b"committer" in first else author,
        message=_text(body, encoding),
    )


@dataclass(frozen=True, slots=True)
class Links:
    """Where a commit stands in history: its tree, its parents, and when it was committed (seconds since 1970)."""

    tree: str
    parents: tuple[str, ...]
    time: int


def decode_links(oid: str, raw: bytes) -> Links:
    """The least of the commit in `raw` that a walk needs. A date that is none is 1970, as Git has it.

    Raises RepositoryCorruptError when its tree or parents cannot be told.
    """
    match = LINKS.match(raw)
    if not match:
        record = decode_commit(oid, raw)
        return Links(record.tree, record.parents, int(record.committer.at.timestamp()))
    parents = match["parents"].decode().replace("parent ", "").split()
    return Links(match["tree"].decode(), tuple(parents), min(int(match["seconds"]), LATEST))


def decode_signature(line: bytes, encoding: str = "utf-8") -> Signature:
    """`name <email> seconds offset`, with whatever is missing left empty (the epoch, for a missing moment)."""
    person, closed, when = line.rpartition(b">")
    name, _, email = (person if closed else line).partition(b"<")
    return Signature(
        name=_text(name, encoding).strip(), email=_text(email, encoding).strip(), at=_moment(when if closed else b"")
    )


def encode_commit(new: NewCommit, tree: ObjectID, parents: Sequence[ObjectID]) -> Commit:
    """A commit of `tree`. Names lose `<`, `>` and control characters, a moment before 1970 becomes 1970."""
    commit = Commit()
    commit.tree = tree
    commit.parents = list(parents)
    commit.author, commit.author_time, commit.author_timezone = _identity(new.author)
    commit.committer, commit.commit_time, commit.commit_timezone = _identity(new.committer)
    commit.message = new.message.replace("\x00", "").encode("utf-8", "replace")
    return commit


def _identity(who: Signature) -> tuple[bytes, int, int]:
    """What Git writes of a signature: `name <email>`, seconds since 1970, offset in seconds (whole minutes)."""
    name = " ".join(UNSAFE.sub(" ", who.name).split()) or "unknown"
    email = "".join(UNSAFE.sub("", who.email).split())
    offset = who.at.utcoffset() or timedelta()
    return (
        f"{name} <{email}>".encode("utf-8", "replace"),
        max(0, int(who.at.timestamp())),
        offset // timedelta(minutes=1) * 60,
    )


def _moment(when: bytes) -> datetime:
    match = MOMENT.match(when)
    if not match:
        return EPOCH
    seconds = min(max(int(match["seconds"]), EARLIEST), LATEST)
    minutes = min(int(match["hours"] or 0) * 60 + int(match["minutes"] or 0), LONGEST_OFFSET)
    offset = timedelta(minutes=-minutes if match["sign"] == b"-" else minutes)
    return (EPOCH + timedelta(seconds=seconds)).astimezone(timezone(offset))


def _text(raw: bytes, encoding: str) -> str:
    """Text in the encoding a commit names; UTF-8 where that is none Python knows as a text encoding."""
    try:
        return raw.decode(encoding, "replace").encode("utf-8", "replace").decode()
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")
