"""What the registry needs from the places where things are kept: five ports and their records.

Every adapter of a port passes the same suite under `tests/contracts/`. Adapters raise `app.stores.errors` only.
What Git clients elsewhere are served with is a sixth port, in `app.stores.serving`.
"""

from collections.abc import AsyncGenerator, Collection, Container, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

# ── Git ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Signature:
    """Who, and when: `at` carries the offset the commit was written with."""

    name: str
    email: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit as Git has it. Ids are 40 lowercase hex digits; the message is decoded, never failing."""

    oid: str
    parents: tuple[str, ...]
    tree: str
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True, slots=True)
class Refs:
    """What a repository points at: short names to commit ids. Tags are peeled; those of no commit are left out.

    `fingerprint` is that of Repository.fingerprint at the same moment.
    """

    default: str
    heads: Mapping[str, str]
    tags: Mapping[str, str]
    fingerprint: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """What stands at a path of a commit. Only a `file` has a blob that may be read as text."""

    oid: str
    kind: Literal["file", "symlink", "submodule", "tree"]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What `git ls-tree` says of a path: its mode, as Git numbers them, and the id of what stands there."""

    mode: int
    oid: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Commits read in a row, and what stands at one path of theirs. The first three columns are equally long.

    Children come mostly before their parents. `parents` are ids with spaces between them, as Git prints them: there may
    be very many commits, and a text costs a fifth of a tuple. `times` are the committers', in seconds since 1970.
    `entries` has every commit whose first parent has something else at the path, every first commit with something
    there, and maybe more.
    """

    oids: Sequence[str]
    parents: Sequence[str]
    times: Sequence[int]
    entries: Mapping[str, TreeEntry | None]


@dataclass(frozen=True, slots=True)
class NewCommit:
    """A commit to be made: `files` replaces whole files by path and leaves every other path as it was."""

    files: Mapping[str, bytes]
    message: str
    author: Signature
    committer: Signature


class Repository(Protocol):
    """One bare repository. Every call blocks on the disk and is made from a worker thread; any thread may call.

    Of one that lies elsewhere a copy is here: what is read is in the copy, and only what it lacks is asked for.
    """

    def refs(self) -> Refs:
        """Every branch and tag, and the branch HEAD names (which may not exist yet)."""

    def head(self, branch: str) -> str | None:
        """The commit a branch is at, or None when there is no such branch."""

    def commit(self, oid: str) -> CommitRecord:
        """Raises CommitNotFoundError, also for the id of something that is not a commit."""

    def file(self, commit: str, path: str) -> TreeFile | None:
        """What `path` ("a/b.yml") is in a commit's tree, None where nothing is. No link or submodule is followed.

        Raises CommitNotFoundError.
        """

    def blob(self, oid: str, limit: int) -> bytes:
        """A blob's bytes. Raises BlobNotFoundError, or BlobTooLargeError before inflating more than `limit` bytes."""

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Generator[Trace, None, None]:
        """The commit `head` and all behind it that are not `known`; `tips` are those known that have no known child.

        In parts, of which any may be empty or say again what others said, so that whoever reads a long history can stop
        in between. The entries of a commit may come in a later part than the commit.
        Raises CommitNotFoundError, and RepositoryCorruptError when one behind it is missing.
        """

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        """Chain `commits` onto `expected` and move the branch there, all or nothing, durable on return.

        `expected` None makes the branch with a first commit without parents. Answers the new ids, oldest first.
        Raises RefMovedError when the branch is not at `expected` (nothing is visible then), RefConflictError when `a`
        and `a/b` would have to exist together, PathConflictError, RepositoryBusyError; as every other write, where the
        repository lies elsewhere, also RemoteRefusedError and RemoteUnavailableError.
        """

    def create_branch(self, branch: str, oid: str) -> None:
        """Durable on return. Raises RefConflictError, CommitNotFoundError, RepositoryBusyError."""

    def move_branch(self, branch: str, expected: str | None, oid: str) -> None:
        """Put a branch at a commit that is there, durable on return; `expected` None makes it.

        Raises RefMovedError when the branch is not at `expected`, CommitNotFoundError, RepositoryBusyError.
        """

    def delete_branch(self, branch: str, expected: str) -> None:
        """Durable on return. Raises RefMovedError when the branch is not at `expected`, RepositoryBusyError."""

    def fingerprint(self) -> str:
        """Cheap, and different whenever a ref may have changed since the last call; equal otherwise."""

    def fetch(self, since: float | None = None) -> None:
        """Bring here what lies elsewhere as it is now: every branch and tag, and all behind them.

        Nothing is done for a repository that lies here, nor when a look that began after `since` (of time.monotonic)
        was a success already. Raises RemoteUnavailableError, RemoteRefusedError when the remote does not let us in,
        RepositoryNotFoundError when it has no such repository; what is here stays as it was.
        """

    def listed(self) -> float:
        """When the last look that was a success began, by time.monotonic: what is here is no older. Asks nobody."""


class GitHost(Protocol):
    """Where the repositories lie. Names are checked project names ("search/ranker")."""

    def create(self, name: str, default_branch: str, first: NewCommit) -> None:
        """A bare repository whose HEAD names `default_branch`, which holds `first`. All or nothing, durable on return.

        Raises RepositoryExistsError, also when only letter case differs.
        """

    def repository(self, name: str) -> Repository:
        """Cheap to call often. Raises RepositoryNotFoundError."""

    def place(self, remotes: Mapping[str, str]) -> None:
        """Which names are those of repositories that lie elsewhere, and their URLs. All others lie here."""


# ── Cache ────────────────────────────────────────────────────────────────────────────────────


class Cache(Protocol):
    """Disposable memory shared by every server process. All may be lost at any moment.

    Values are opaque bytes. Every method raises CacheUnavailableError, and nothing else, when the cache fails.
    """

    async def ticket(self) -> int:
        """A number greater than every ticket before. Take it *before* reading from Git what `move` stores."""

    async def begun(self) -> int:
        """What differs from before once the cache has lost something. Fails while the cache takes nothing new."""

    async def move(
        self, project: str, ticket: int, pointers: Mapping[str, bytes | None], held: Mapping[str, bytes] | None = None
    ) -> bool:
        """Store pointers by field in one step (None forgets one), leaving alone those stored under a later ticket.

        With `held`, nothing is stored and False answered unless these are stored now: somebody else moved on.
        """

    async def pointers(self, project: str) -> Mapping[str, bytes]:
        """Every pointer of a project; empty when none is known. Of one that is damaged the name, and no bytes."""

    async def pointers_of(self, projects: Sequence[str]) -> Sequence[Mapping[str, bytes]]:
        """Every pointer of each of these projects, in one round trip."""

    async def pointer(self, project: str, field: str) -> bytes | None:
        """One pointer, or None when it is not known."""

    def version(self, project: str) -> int | None:
        """What differs from before once somebody moved a pointer of a project; costs nothing.

        None where that is not known: ask for the pointers then, and it will be known soon. What others moved is
        noticed within 100 ms, what was moved through this object when `move` returns.
        """

    async def derived(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """What is stored under these names, in one round trip."""

    async def put_derived(self, values: Mapping[str, bytes]) -> None:
        """Store what follows from Git alone: whatever anybody stores under a name is true, so the last may win."""

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Whether `holder` is the one to do what `name` stands for, for `seconds` from now.

        That is whoever asks first, for as long as it asks again in time. A hint: a flushed cache lets two believe it.
        """

    async def wake(self) -> None:
        """Tell everybody else who uses this cache that there is something new in Git. A hint: it may be lost."""

    def wakes(self) -> AsyncGenerator[None, None]:
        """Once now that it listens, once whenever others may have called `wake` since; without an end.

        While the cache is away nothing comes, and nothing is raised.
        """

    async def close(self) -> None:
        """Let go of every connection. The cache is not used after."""


# ── Objects ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Where bytes are kept: equal bytes of one project are kept once. `sha256` is 64 lowercase hex digits."""

    project: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that anyone who holds it may make until it expires. The URL is a secret."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What the store says of bytes it holds: their size and their sha-256 (None when the store does not know it)."""

    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload in parts as the store knows it. Every part but the last is `part_size` bytes.

    Of a `checked` one each part is sent under a signed sha-256 of its own; of any other none is.
    """

    id: str
    part_size: int
    checked: bool


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that has arrived, by its number, counted from 1. `size` is bytes, `etag` what the store answered."""

    number: int
    size: int
    etag: str
    sha256: str | None


class MultipartStore(Protocol):
    """How bytes too large for one request are sent. Nothing stands under the key before its sha-256 is proven."""

    async def begin(self, key: ObjectKey, *, size: int, content_type: str, checked: bool) -> Multipart | None:
        """A new upload in parts, or None for a size that one request takes. Raises ObjectsUnavailableError."""

    async def sign_part(
        self, key: ObjectKey, upload: Multipart, number: int, *, size: int, sha256: str | None, expires_in: int
    ) -> SignedRequest:
        """A request that sends one part of exactly `size` bytes, as often as need be; `sha256` when `checked`."""

    async def parts(self, key: ObjectKey, upload: Multipart) -> Sequence[StoredPart] | None:
        """The parts that have arrived, by number; None when the store knows no such upload, or no more.

        Raises ObjectsUnavailableError.
        """

    async def assemble(self, key: ObjectKey, upload: Multipart, parts: Sequence[StoredPart]) -> None:
        """Make the object of these parts; of an upload that is known no more, finish what was begun. Safe to repeat.

        The bytes are read once, and stand under the key only when they have its sha-256. Other uploads of the same
        bytes are given up then. Raises PartsGoneError, BytesDifferError, ObjectsUnavailableError.
        """


class ObjectStore(Protocol):
    """Where the bytes are. Bytes never pass through the API: callers move them with signed requests."""

    @property
    def multipart(self) -> MultipartStore | None:
        """How large objects are sent, or None where one request takes any."""

    async def sign_put(self, key: ObjectKey, *, size: int, content_type: str, expires_in: int) -> SignedRequest:
        """A request that stores exactly `size` bytes of exactly this sha-256, once, within `expires_in` seconds.

        Costs no request of our own. Raises ObjectsUnavailableError when there are no credentials to sign with.
        """

    async def sign_get(
        self, key: ObjectKey, *, content_type: str, filename: str | None, expires_in: int
    ) -> SignedRequest:
        """A request that fetches the bytes, ranges included, and names the download `filename`. Otherwise the same."""

    async def stat(self, key: ObjectKey) -> ObjectStat | None:
        """What is stored under the key, or None. Raises ObjectsUnavailableError."""

    async def expire_uploads(self, seconds: int) -> int:
        """Give up every upload begun longer ago, and take away what it left; answers how many such things there were.

        Does a bounded number at once, and touches nothing that is stored. Raises ObjectsUnavailableError.
        """

    async def close(self) -> None:
        """Let go of every connection."""


# ── Events ───────────────────────────────────────────────────────────────────────────────────

BATCH_MESSAGES = 10
BATCH_BYTES = 256 * 1024
"""What a queue takes at once, of one message or of several together."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a queue carries: the same `id` always has the same body, so whoever gets it twice knows.

    Messages of one `group` are delivered in the order in which they were accepted. `body` and the names and values of
    `attributes`, of which none is empty, are text that XML 1.0 may hold.
    """

    id: str
    group: str
    body: str
    attributes: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes, as queues count them: the body, and of each attribute its name, the word `String` and its value."""
        attributes = (len(name) + len("String") + len(value.encode()) for name, value in self.attributes.items())
        return len(self.body.encode()) + sum(attributes)


class Queue(Protocol):
    """Where messages go that others receive, at least once each."""

    async def send(self, messages: Sequence[Message]) -> frozenset[str]:
        """The ids of those that were accepted, at least one; what is not among them may be sent again.

        Up to `BATCH_MESSAGES` messages of distinct groups, `BATCH_BYTES` together. Raises QueueUnavailableError when
        none was accepted, and when nobody knows: any may have been.
        """

    async def close(self) -> None:
        """Let go of every connection. The queue is not used after."""


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────


class KeySource(Protocol):
    """Where an issuer of tokens publishes the keys it signs them with."""

    async def fetch(self) -> Sequence[Mapping[str, Any]]:
        """Its keys as they are now, each a JWK (RFC 7517) of which nothing is checked. Raises KeysUnavailableError."""
