"""Git's framing: packets of up to 65520 bytes that begin with their length in four hexadecimal digits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from app.http.errors import Code, Refusal
from app.stores.serving import RefUpdate

FLUSH = b"0000"
MOST = 65520
"""Bytes of a packet, its length included."""
MOST_UPDATES = 5000
NO_OBJECT = "0" * 40
DATA, REMARK = b"\x01", b"\x02"


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What a client says before the pack: which refs are to move, and what it understands."""

    updates: tuple[RefUpdate, ...]
    capabilities: frozenset[str]


def packet(content: bytes) -> bytes:
    """Content in a frame."""
    return b"%04x%b" % (len(content) + 4, content)


def banded(band: bytes, content: bytes) -> Iterator[bytes]:
    """Content on one band of several, in as many packets as it takes."""
    most = MOST - 5
    for start in range(0, len(content), most):
        yield packet(band + content[start : start + most])


def read_push(file: BinaryIO) -> PushRequest:
    """What stands before the pack in a request, which is read up to there. Raises Refusal."""
    updates: list[RefUpdate] = []
    capabilities: frozenset[str] = frozenset()
    for line in _packets(file):
        if line.startswith(b"shallow "):
            continue  # what the client lacks is here: that nothing is missing is seen anyway
        command, _, said = line.partition(b"\0")
        if said:
            capabilities = frozenset(said.decode("utf-8", "replace").split())
        updates.append(_update(command.rstrip(b"\n")))
        if len(updates) > MOST_UPDATES:
            raise Refusal(Code.BAD_REQUEST, f"A push moves at most {MOST_UPDATES} refs; push fewer at once.")
    if len({update.name for update in updates}) < len(updates):
        raise _garbage()
    return PushRequest(tuple(updates), capabilities)


def write_report(request: PushRequest, pack: str | None, refused: Mapping[str, str], remarks: Iterable[str]) -> bytes:
    """The answer to a push, as the client understands it: what became of the pack and of each ref, and remarks."""
    report = b""
    if "report-status" in request.capabilities:
        lines = [f"unpack {_line(pack or 'ok')}", *(_told(update.name, refused) for update in request.updates)]
        report = b"".join(packet(line.encode("utf-8", "surrogateescape") + b"\n") for line in lines) + FLUSH
    if "side-band-64k" not in request.capabilities:
        return report
    spoken = "".join(f"{_line(remark)}\n" for remark in remarks).encode("utf-8", "replace")
    return b"".join([*banded(REMARK, spoken), *banded(DATA, report), FLUSH])


def _told(name: str, refused: Mapping[str, str]) -> str:
    return f"ng {name} {_line(refused[name])}" if name in refused else f"ok {name}"


def _line(text: str) -> str:
    return " ".join(text.splitlines())


def _packets(file: BinaryIO) -> Iterator[bytes]:
    """What stands in each packet, up to a flush. Raises Refusal."""
    while (head := file.read(4)) != FLUSH:
        try:
            length = int(head.decode("ascii"), 16) - 4
        except ValueError:
            raise _garbage() from None
        content = file.read(length) if 0 < length <= MOST else b""
        if not content or len(content) != length:
            raise _garbage()
        yield content


def _update(command: bytes) -> RefUpdate:
    """`<old> <new> <name>`. A name that is not UTF-8 is kept so that it can be named in the answer."""
    old, _, rest = command.decode("utf-8", "surrogateescape").partition(" ")
    new, _, name = rest.partition(" ")
    for oid in (old, new):
        if len(oid) != len(NO_OBJECT) or not set(oid) <= set("0123456789abcdef"):
            raise _garbage()
    if not name:
        raise _garbage()
    return RefUpdate(name, old if old != NO_OBJECT else None, new if new != NO_OBJECT else None)


def _garbage() -> Refusal:
    return Refusal(Code.BAD_REQUEST, "This is not a push as Git sends it, or it ended too soon; push again.")
