"""Pushes that no Git client sends, made by hand."""

import gzip
import hashlib
import socket
import zlib
from collections.abc import Iterator

from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree

from app.stores.git.disk import packed_bytes
from tests.support.hostile.day import Hostile, Target, hostile, said
from tests.support.hostile.wire import PATIENCE, patience, talk

NOTHING = "0" * 40
NOWHERE = "1" * 40
FLUSH = b"0000"
PUSH = {"content-type": "application/x-git-receive-pack-request"}
FETCH = {"content-type": "application/x-git-upload-pack-request"}
MALFORMED = "400 BAD_REQUEST"
NOT_KEPT = "200 unpack The pack cannot be kept"
NOT_WHOLE = "200 unpack What was pushed is not whole"


def packet(content: bytes) -> bytes:
    return b"%04x%b" % (len(content) + 4, content)


def command(ref: str, new: str, old: str = NOTHING) -> bytes:
    """What a client says to move one ref."""
    return packet(f"{old} {new} {ref}\0report-status\n".encode("utf-8", "surrogateescape")) + FLUSH


def push(target: Target, content: bytes, **headers: str) -> str:
    """The answer to a push: the status, and what it says of the pack and of the first ref that was refused."""
    path = f"/git/{target.work.name}/git-receive-pack"
    answer = target.server.client.post(path, content=content, headers={**PUSH, **headers})
    if answer.status_code != 200:
        return f"{answer.status_code} {said(answer.text)}".strip()
    lines = [line[4:] for line in answer.text.split("\n") if line[4:].startswith(("unpack ", "ng "))]
    refused = [line.partition(" ")[2].partition(" ")[2] for line in lines if line.startswith("ng ")]
    unpacked = next((line.partition(":")[0] for line in lines if line.startswith("unpack ")), "nothing")
    return f"200 {unpacked}" + (f", {refused[0]}" if refused and unpacked == "unpack ok" else "")


def commit_of(
    files: dict[bytes, tuple[int, ShaFile | bytes]], parent: str | None = None
) -> tuple[Commit, list[ShaFile]]:
    """A commit with these files by name, each a mode and what it is, and all that is new with it."""
    tree, new = Tree(), list[ShaFile]()
    for name, (mode, one) in files.items():
        tree.add(name, mode, one if isinstance(one, bytes) else one.id)
        new += [] if isinstance(one, bytes) else [one]
    made = Commit()
    made.tree, made.parents = tree.id, [ObjectID(parent.encode())] if parent else []
    made.author = made.committer = b"Mallory <mallory@example.org>"
    made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
    made.message = b"By hand\n"
    return made, [made, tree, *new]


def sent(ref: str, files: dict[bytes, tuple[int, ShaFile | bytes]]) -> bytes:
    """A push that makes a ref of one commit."""
    made, new = commit_of(files)
    return command(ref, made.id.decode()) + packed_bytes(new)[0]


def pack(count: int, *entries: bytes, version: int = 2) -> bytes:
    """A pack that says how many entries it has, with its checksum."""
    content = b"PACK" + version.to_bytes(4, "big") + count.to_bytes(4, "big") + b"".join(entries)
    return content + hashlib.sha1(content, usedforsecurity=False).digest()


def entry(kind: int, size: int, body: bytes) -> bytes:
    """An entry that says its kind and its size."""
    head, rest = bytearray(), size >> 4
    first = kind << 4 | size & 15
    while rest:
        head.append(first | 0x80)
        first, rest = rest & 127, rest >> 7
    return bytes([*head, first]) + body


BLOB, OFFSET, BY_ID = 3, 6, 7
BOMB = zlib.compress(bytes(200 << 20), 1)
"""200 MiB of nothing."""
PLAIN = {b"artifacts.yml": (0o100644, Blob.from_string(b"a: {type: m}\n"))}
DELTA_BOMB = b"\x01" + b"\xff\xff\xff\xff\x0f" + b"\x90\x01" * 50_000
PACKS: list[tuple[str, bytes, str]] = [
    ("no pack", b"", NOT_WHOLE),
    ("four letters of a pack", b"PACK", NOT_KEPT),
    ("100 000 bytes that are none", b"\xff" * 100_000, NOT_KEPT),
    ("a pack of version 9", pack(0, version=9), NOT_KEPT),
    ("a pack that says it has 2³² entries", pack(0xFFFFFFFF), NOT_KEPT),
    ("a pack with more than it says", pack(0, entry(BLOB, 1, zlib.compress(b"x"))), NOT_KEPT),
    ("an entry of no kind", pack(1, entry(5, 1, zlib.compress(b"x"))), NOT_KEPT),
    ("an entry that is longer than it says", pack(1, entry(BLOB, 1, zlib.compress(b"x" * 1000))), NOT_KEPT),
    ("an entry that is shorter than it says", pack(1, entry(BLOB, 1000, zlib.compress(b"x"))), NOT_KEPT),
    ("an entry that is not deflated", pack(1, entry(BLOB, 5, b"hello")), NOT_KEPT),
    ("a size that never ends", pack(1, b"\xff" * 5000), NOT_KEPT),
    ("a zlib bomb of 200 MiB", pack(1, entry(BLOB, 200 << 20, BOMB)), NOT_WHOLE),
    ("a zlib bomb that says it has one byte", pack(1, entry(BLOB, 1, BOMB)), NOT_KEPT),
    ("a difference to an object nobody has", pack(1, entry(BY_ID, 4, b"\x01" * 20 + zlib.compress(b"\0\0\0\0"))), NOT_KEPT),
    ("a difference to before the pack", pack(1, entry(OFFSET, 4, b"\xff\xff\x7f" + zlib.compress(b"\0\0\0\0"))), NOT_KEPT),
    ("a difference to itself", pack(1, entry(OFFSET, 4, b"\0" + zlib.compress(b"\0\0\0\0"))), NOT_KEPT),
    ("a difference that makes 4 GiB", pack(2, entry(BLOB, 1, zlib.compress(b"x")), entry(OFFSET, len(DELTA_BOMB), bytes([len(entry(BLOB, 1, zlib.compress(b"x")))]) + zlib.compress(DELTA_BOMB))), NOT_KEPT),
    ("a pack that breaks off", packed_bytes(commit_of(PLAIN)[1])[0][:-30], NOT_KEPT),
]  # fmt: skip
LINES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", MALFORMED),
    ("letters for a length", b"zzzz", MALFORMED),
    ("a length of one", b"0001", MALFORMED),
    ("a negative length", b"-001", MALFORMED),
    ("a length beyond what comes", b"ffffabc", MALFORMED),
    ("a line without an end", b"0032want", MALFORMED),
    ("ids that are none", command("refs/heads/x", "y" * 40), MALFORMED),
    ("ids that are too short", command("refs/heads/x", "1" * 39), MALFORMED),
    ("no name", command("", NOWHERE), MALFORMED),
    ("one ref twice", packet(f"{NOTHING} {NOWHERE} refs/heads/x".encode()) * 2 + FLUSH, MALFORMED),
    ("10 000 refs", b"".join(packet(f"{NOTHING} {NOWHERE} refs/heads/x{n}".encode()) for n in range(10_000)) + FLUSH, MALFORMED),
    ("100 000 shallow lines", packet(b"shallow " + NOWHERE.encode()) * 100_000 + FLUSH, "200 nothing"),
    ("a flush alone", FLUSH, "200 nothing"),
]  # fmt: skip
REFS = [
    *(
        "../x",
        "refs/heads/../../x",
        "refs/heads/a/../../../x",
        "refs/tags/../heads/main",
        "/etc/passwd",
        "refs/heads//x",
    ),
    *(
        "HEAD",
        "refs/heads/HEAD",
        "refs/heads/",
        "refs/heads/a.lock",
        "refs/heads/.x",
        "refs/heads/a..b",
        "refs/heads/a b",
    ),
    *("refs/heads/a\x01b", "refs/heads/a~1", "refs/heads/a^", "refs/heads/a:b", "refs/heads/@{1}", "refs/heads/-x"),
    *("refs/heads/\udcff", "refs/heads/" + "x" * 5000, "refs/notes/x", "refs/replace/x", "refs/x", "x", "config"),
    "refs/heads/refs/heads/main",
]
FETCHES: list[tuple[str, bytes, dict[str, str], tuple[str, ...]]] = [
    ("nothing", b"", {}, ("200",)),
    ("letters for a length", b"zzzz", {}, ("200",)),
    ("an object nobody has", packet(b"want " + NOWHERE.encode() + b"\n") + FLUSH + packet(b"done\n"), {}, ("200",)),
    ("a command nobody has", packet(b"command=evil") + FLUSH, {"git-protocol": "version=2"}, ("200",)),
    ("a protocol with options", packet(b"command=ls-refs") + FLUSH, {"git-protocol": "version=2:--upload-pack=id"}, ("200",)),
    ("a protocol with line ends", FLUSH, {"git-protocol": "version=2 ; id"}, ("200",)),
    ("100 000 haves", packet(b"command=fetch") + b"0001" + packet(b"have " + NOWHERE.encode() + b"\n") * 100_000 + FLUSH, {"git-protocol": "version=2"}, ("200",)),
    ("a filter 1 000 deep", packet(b"command=fetch") + b"0001" + packet(b"filter " + b"combine:" * 1000) + FLUSH, {"git-protocol": "version=2"}, ("200",)),
    ("a gzip bomb", gzip.compress(bytes(80 << 20)), {"content-encoding": "gzip"}, ("413 PAYLOAD_TOO_LARGE",)),
    ("gzip that is none", b"hello", {"content-encoding": "gzip"}, (MALFORMED,)),
    ("gzip that breaks off", gzip.compress(b"0000" * 999)[:-9], {"content-encoding": "gzip"}, (MALFORMED,)),
    ("another coding", FLUSH, {"content-encoding": "br"}, ("415 UNSUPPORTED_MEDIA_TYPE",)),
    ("the type of a push", FLUSH, PUSH, ("415 UNSUPPORTED_MEDIA_TYPE",)),
]  # fmt: skip
PATHS = [
    *(
        "/git/../catalog/info/refs",
        "/git/..%2fcatalog/info/refs",
        "/git/%2e%2e/%2e%2e/etc/info/refs",
        "/git//etc/info/refs",
    ),
    *(
        "/git/%00/info/refs",
        "/git/catalog/info/refs",
        "/git/.creating/info/refs",
        "/git/" + "a" * 20_000 + "/info/refs",
    ),
    *(
        "/git/work/HEAD",
        "/git/work/objects/info/packs",
        "/git/-x/info/refs",
        "/git/%ff/info/refs",
        "/git/CON/info/refs",
    ),
]


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, content, expected in PACKS:
        told = command("refs/heads/broken", NOWHERE) + content
        yield hostile(f"push: {name}", lambda target, told=told: push(target, told), expected)
    for name, content, expected in LINES:
        yield hostile(f"push: {name}", lambda target, content=content: push(target, content), expected)
    for ref in REFS:
        yield hostile(
            f"push: the ref {ref[:40]!a}", lambda target, ref=ref: refused_ref(target, ref), "refused", MALFORMED
        )
    for name, content, headers, expected in FETCHES:
        yield hostile(
            f"fetch: {name}",
            lambda target, content=content, headers=headers: target.request(
                "POST", f"/git/{target.work.name}/git-upload-pack", content=content, headers={**FETCH, **headers}
            ),
            *expected,
        )
    for path in PATHS:
        line = f"GET {path}?service=git-upload-pack HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        yield hostile(f"git: {path[:50]}", lambda target, line=line: talk(target, line), "404")
    yield hostile(
        "push: the default branch deleted",
        lambda target: push(target, command("refs/heads/main", NOTHING, target.work.head())),
        "200 unpack ok, this is the default branch, which a project always has",
    )
    yield hostile(
        "push: a branch that is a blob",
        lambda target: push(target, blob_as_branch()),
        "200 unpack ok, a branch holds commits alone",
    )
    yield hostile(
        "push: a commit whose tree nobody has", lambda target: push(target, without_tree()), NOT_WHOLE, NOT_KEPT
    )
    yield hostile(
        "push: a tree that leads out",
        lambda target: push(target, sent("refs/heads/out", {b"..": (0o100644, Blob.from_string(b"x"))})),
        NOT_KEPT,
    )
    yield hostile(
        "push: a .git inside",
        lambda target: push(target, sent("refs/heads/inside", {b".git": (0o40000, Tree())})),
        NOT_KEPT,
    )
    yield hostile("push: whoever stops in the middle", lambda target: slow(target, leave=True), "closed")
    yield hostile(
        "push: whoever sends a byte a second", lambda target: slow(target, leave=False), "408 closed", patient=True
    )


def refused_ref(target: Target, ref: str) -> str:
    """`refused` when the ref was not made."""
    made, new = commit_of(PLAIN)
    said = push(target, command(ref, made.id.decode()) + packed_bytes(new)[0])
    return "refused" if said.startswith("200 unpack ok, ") else said


def blob_as_branch() -> bytes:
    blob = Blob.from_string(b"hello")
    return command("refs/heads/blob", blob.id.decode()) + packed_bytes([blob])[0]


def without_tree() -> bytes:
    made, (commit, *_) = commit_of(PLAIN)
    made.tree = ObjectID(b"2" * 40)
    return command("refs/heads/hollow", made.id.decode()) + packed_bytes([commit])[0]


def slow(target: Target, *, leave: bool) -> str:
    host = "{}:{}".format(*target.place)
    head = f"POST /git/{target.work.name}/git-receive-pack HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500000\r\n"
    begun = f"{head}Content-Type: {PUSH['content-type']}\r\n\r\n00".encode()
    if leave:
        with socket.create_connection(target.place) as made:
            made.sendall(begun)
        return "closed"
    return patience(target, begun, b"0", 1.0, PATIENCE)
