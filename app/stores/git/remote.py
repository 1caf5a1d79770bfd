"""What is said to a Git server: which refs there are, what is missing here, and a ref to be moved. Git's own words.

Fetching speaks protocol 2 and falls back to 0; pushing knows 0 only. A request says all at once ("done"), so that HTTP
and SSH need the same words and an answer is one.
"""

import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dulwich.client import build_fetch_request_v2, build_ls_refs_request_v2
from dulwich.client import extract_object_format_from_capabilities as object_format
from dulwich.errors import GitProtocolError
from dulwich.protocol import Protocol, agent_string, extract_capabilities, pkt_line

from app.stores.errors import RemoteRefusedError, RemoteUnavailableError, StoreError
from app.stores.git.refs import HEADS, TAGS, is_ref
from app.stores.git.transport import Reader, Service, Talk, Transport, UnreachableError

FETCH: Service = "git-upload-pack"
PUSH: Service = "git-receive-pack"
NOTHING = "0" * 40
MOST_LISTED = 16 << 20  # bytes of refs
MOST_PACKED = 4 << 30  # bytes of objects
MOST_REPORTED = 1 << 20  # bytes of what a server says of a push
LONGEST_REASON = 4000  # characters
DELIMITER = b"0001"
DATA, WORDS, FATAL = 1, 2, 3  # the channels of a side band
VALUE = re.compile(rb"[0-9a-f]{40}\Z")
GARBAGE = (GitProtocolError, ValueError, LookupError, AssertionError, TypeError)
FETCHING = frozenset({b"thin-pack", b"ofs-delta", b"no-progress", b"side-band-64k"})
PUSHING = frozenset({b"report-status", b"side-band-64k"})


class OutcomeUnknownError(RemoteUnavailableError):
    """A push was sent and its answer did not come: it may have arrived."""


class PushRefusedError(RemoteRefusedError):
    """The server took a push and refused it: nothing was moved."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Every branch and tag of a repository by whole name, and the branch HEAD names, when the server says which."""

    refs: Mapping[str, str]
    named: str | None


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a service says of itself; a server that speaks version 0 lists its refs at once."""

    version: int
    capabilities: frozenset[bytes]
    listing: Listing


class Remote:
    """The repository at the end of a transport. Any thread may use it."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self._name = name
        self._known: dict[Service, Greeting] = {}  # which of a server that greets need not be asked for again

    @contextmanager
    def reading(self) -> Iterator["Reading"]:
        """A conversation to list and to fetch. Raises as Repository.fetch."""
        with self._talking(FETCH) as talk:
            yield Reading(talk, self._greeting(talk, FETCH))

    def push(self, ref: str, old: str | None, new: str | None, pack: bytes) -> None:
        """Move a ref from `old` (None: make it) to `new` (None: delete it), bringing the objects of `pack`.

        Raises OutcomeUnknownError, PushRefusedError, and as `reading`.
        """
        sent = False
        command = f"{old or NOTHING} {new or NOTHING} {ref}".encode()
        try:
            with self._talking(PUSH) as talk:
                spoken = PUSHING & self._greeting(talk, PUSH).capabilities
                head = pkt_line(command + b"\0 " + b" ".join(sorted({*spoken, b"agent=" + agent_string()})))
                sent = True
                answer = talk.ask(head + b"0000" + (pack if new else b""), MOST_REPORTED)
                _hear(answer, ref, self._name, side_band=b"side-band-64k" in spoken)
        except UnreachableError:
            raise
        except RemoteUnavailableError as error:
            raise OutcomeUnknownError(str(error)) if sent else error from error

    @contextmanager
    def _talking(self, service: Service) -> Iterator[Talk]:
        try:
            with self._transport.talk(service) as talk:
                yield talk
        except GARBAGE as error:
            self._known.pop(service, None)
            said = readable(str(error).encode()) or "nothing"
            raise RemoteUnavailableError(f"{self._name} answered what is not Git's: {said}.") from error
        except StoreError:
            self._known.pop(service, None)
            raise

    def _greeting(self, talk: Talk, service: Service) -> Greeting:
        known = self._known.get(service)
        if known is None or talk.greets or (service == FETCH and known.version == 0):
            known = self._known[service] = _greeting(talk.greeting(MOST_LISTED), service, named=not talk.greets)
            if object_format(set(known.capabilities)) not in {None, "sha1"}:
                raise RemoteUnavailableError(f"{self._name} names its objects by sha-256, which is not read here.")
        return known


class Reading:
    """One conversation with the service that has things fetched."""

    def __init__(self, talk: Talk, greeting: Greeting) -> None:
        self._talk = talk
        self._greeting = greeting

    def listing(self) -> Listing:
        """Every branch and tag."""
        if self._greeting.version == 0:
            return self._greeting.listing
        spoken = set(self._greeting.capabilities)
        prefixes = [b"HEAD", HEADS.encode(), TAGS.encode()]
        command, arguments = build_ls_refs_request_v2(spoken, object_format(spoken), prefixes)
        # Tags are peeled here; a server has to read objects for it.
        request = _packed(command, [argument for argument in arguments if argument != b"peel"])
        return _listing(_lines(self._talk.ask(request, MOST_LISTED)))

    def fetch(self, wants: Collection[str], haves: Iterable[str]) -> Iterator[bytes]:
        """The pack of what is behind `wants` and not behind `haves`, in portions: maybe one with bases left out."""
        wanted = [b"want " + oid.encode() + b"\n" for oid in wants]
        had = [b"have " + oid.encode() + b"\n" for oid in haves]
        done = [*had, b"done\n"]
        if self._greeting.version == 0:
            yield from self._fetch_0(wanted, done)
            return
        command = build_fetch_request_v2(object_format(set(self._greeting.capabilities)))
        answer = self._talk.ask(
            _packed(command, [b"thin-pack\n", b"no-progress\n", b"ofs-delta\n", *wanted, *done]), MOST_PACKED
        )
        section = _line(Protocol(answer.read, _mute))
        if section != b"packfile":
            raise GitProtocolError(_error(section))
        yield from _pack(answer)

    def _fetch_0(self, wanted: list[bytes], done: list[bytes]) -> Iterator[bytes]:
        spoken = FETCHING & self._greeting.capabilities
        if b"side-band-64k" not in spoken:
            raise GitProtocolError("the server is too old: it knows no side band")
        first = wanted[0].rstrip(b"\n") + b" " + b" ".join(sorted(spoken)) + b"\n"
        request = b"".join(map(pkt_line, [first, *wanted[1:]])) + b"0000" + b"".join(map(pkt_line, done))
        answer = self._talk.ask(request, MOST_PACKED)
        reply = _line(Protocol(answer.read, _mute))
        if not reply.startswith((b"ACK ", b"NAK")):
            raise GitProtocolError(_error(reply))
        yield from _pack(answer)


def readable(words: bytes) -> str:
    """What a server says, fit to be shown: at most so much of it, and nothing that moves a cursor."""
    text = words.decode("utf-8", "replace")[:LONGEST_REASON].replace("\r", "\n")
    lines = ("".join(letter if letter.isprintable() else " " for letter in line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _greeting(answer: Reader, service: Service, *, named: bool) -> Greeting:
    """What a service says of itself; over HTTP it is `named`, so that no other page passes for an empty repository."""
    protocol = Protocol(answer.read, _mute)
    first = _line(protocol)
    if first == f"# service={service}".encode():
        protocol.read_pkt_line()
        first, named = _line(protocol), False
    if first == b"version 2":
        return Greeting(2, frozenset(line.rstrip(b"\n") for line in protocol.read_pkt_seq()), Listing({}, None))
    if named or first.startswith(b"ERR "):
        raise GitProtocolError(_error(first))
    if not first:
        return Greeting(0, frozenset(), Listing({}, None))  # an empty repository
    head, spoken = extract_capabilities(first)
    lines = [head, *protocol.read_pkt_seq()]
    return Greeting(0, frozenset(spoken), _listing(lines, spoken))


def _listing(lines: Iterable[bytes], spoken: Iterable[bytes] = ()) -> Listing:
    """Lines of an id and a name. Names Git would not take, or that are not UTF-8, are left out."""
    refs: dict[str, str] = {}
    named = next((word.removeprefix(b"symref=HEAD:") for word in spoken if word.startswith(b"symref=HEAD:")), None)
    for line in lines:
        oid, _, rest = line.rstrip(b"\n").partition(b" ")
        if oid == b"ERR":
            raise GitProtocolError(_error(line))
        name, *attributes = rest.split(b" ")
        if name == b"HEAD":
            leads = (word.removeprefix(b"symref-target:") for word in attributes if word.startswith(b"symref-target:"))
            named = next(leads, named)
        elif VALUE.match(oid) and name.startswith((HEADS.encode(), TAGS.encode())) and _is_ref(name):
            refs[name.decode()] = oid.decode()
    known = named is not None and named.startswith(HEADS.encode()) and _is_ref(named)
    return Listing(refs, named.decode().removeprefix(HEADS) if known and named else None)


def _is_ref(name: bytes) -> bool:
    try:
        return is_ref(name.decode())
    except UnicodeDecodeError:
        return False


def _hear(answer: Reader, ref: str, name: str, *, side_band: bool) -> None:
    """Take a server's report on a push. Raises PushRefusedError, GitProtocolError when there is none."""
    lines, words = _lines(answer), b""
    if side_band:
        report, words = _channels(lines)
        lines = _lines(Reader(io.BytesIO(report).read, MOST_REPORTED))
    unpacked, *moved = [line.rstrip(b"\n") for line in lines] or [b""]
    status = next((line for line in moved if line.split(b" ")[1:2] == [ref.encode()]), b"")
    if unpacked == b"unpack ok" and status == b"ok " + ref.encode():
        return
    if not status.startswith(b"ng ") and (unpacked == b"unpack ok" or not unpacked.startswith(b"unpack ")):
        raise GitProtocolError(f"it does not say what became of {ref}")
    why = status.removeprefix(b"ng " + ref.encode() + b" ")
    reason = readable(b"\n".join([words, unpacked.removeprefix(b"unpack ok"), why]))
    raise PushRefusedError(f"{name} refused to move {ref}: {readable(why) or reason}.", reason)


def _channels(lines: Iterable[bytes]) -> tuple[bytes, bytes]:
    """What stands in the data channel of a side band, and what is said in the one for words."""
    data, words = b"", b""
    for line in lines:
        if line[0] == FATAL:
            raise GitProtocolError(readable(words + line[1:]))
        data += line[1:] if line[0] == DATA else b""
        words += line[1:] if line[0] == WORDS else b""
    return data, words


def _pack(answer: Reader) -> Iterator[bytes]:
    """What stands in the data channel of a side band, as it comes."""
    for line in _lines(answer):
        if line[0] == FATAL:
            raise GitProtocolError(readable(line[1:]))
        if line[0] == DATA:
            yield line[1:]


def _lines(answer: Reader) -> Iterator[bytes]:
    return iter(Protocol(answer.read, _mute).read_pkt_seq())


def _line(protocol: Protocol) -> bytes:
    return (protocol.read_pkt_line() or b"").rstrip(b"\n")


def _packed(command: Iterable[bytes], arguments: Iterable[bytes]) -> bytes:
    """A command of protocol 2."""
    return b"".join(map(pkt_line, command)) + DELIMITER + b"".join(map(pkt_line, arguments)) + b"0000"


def _error(line: bytes) -> str:
    return readable(line.removeprefix(b"ERR ")) or "nothing"


def _mute(_: bytes) -> None:
    raise GitProtocolError("nothing is written through a reader")
