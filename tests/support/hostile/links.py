"""Signed links, upload tickets and cursors: altered, forged, of somebody else, too late."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.api import announce, document, send
from tests.support.hostile.day import Hostile, Target, brief, hostile

CONTENT = b"the bytes of a model"
LISTS = {
    "projects": "{ projects(first: 1, after: %s) { nodes { name } } }",
    "artifacts": "{ artifacts(first: 1, after: %s) { nodes { name } } }",
    "branches": '{ project(name: "demo") { branches(first: 1, after: %s) { nodes { name } } } }',
    "history": '{ project(name: "demo") { defaultBranch { history(first: 1, after: %s) { nodes { oid } } } } }',
    "events": '{ project(name: "demo") { events(first: 1, after: %s) { nodes { sequence } } } }',
}
EVENTS = ("events",)
REFUSED = "INVALID_INPUT"


def upload(target: Target) -> dict[str, Any]:
    """An upload of the bytes, which are here."""
    if "upload" not in target.memory:
        made: dict[str, Any] = target.work.mutate(
            "createUploads", project=target.work.name, objects=[announce(CONTENT, filename="a.bin")]
        )["uploads"][0]
        assert send(made, CONTENT).status_code == 200
        done = target.work.mutate("completeUpload", upload=made["id"])
        target.memory["upload"], target.memory["download"] = made, done["object"]["download"]["url"]
    found: dict[str, Any] = target.memory["upload"]
    return found


def download(target: Target) -> str:
    """A link to the bytes."""
    upload(target)
    return str(target.memory["download"])


def altered(url: str, **members: str | None) -> str:
    """A link with other parameters; None leaves one out."""
    parts = urlsplit(url)
    given = {**dict(parse_qsl(parts.query)), **members}
    return parts._replace(query=urlencode({name: value for name, value in given.items() if value is not None})).geturl()


GETS: list[tuple[str, dict[str, str | None], str]] = [
    ("no signature", {"signature": None}, "400 LINK_MALFORMED"),
    ("an empty signature", {"signature": ""}, "403 LINK_INVALID"),
    ("a signature of zeros", {"signature": "0" * 64}, "403 LINK_INVALID"),
    ("a signature of 50 000 letters", {"signature": "a" * 50_000}, "403 LINK_INVALID"),
    ("a signature that is no ASCII", {"signature": "\xff\u202e"}, "403 LINK_INVALID"),
    ("a later expiry", {"expires": "9999999999"}, "403 LINK_INVALID"),
    ("an expiry long ago", {"expires": "1"}, "403 LINK_INVALID"),
    ("an expiry that is negative", {"expires": "-1"}, "400 LINK_MALFORMED"),
    ("an expiry in other digits", {"expires": "\u0661\u0662"}, "400 LINK_MALFORMED"),
    ("an expiry of 1 000 digits", {"expires": "9" * 1000}, "400 LINK_MALFORMED"),
    ("another type", {"type": "text/html"}, "403 LINK_INVALID"),
    ("a type with a line end", {"type": "text/html\r\nSet-Cookie: a=b"}, "403 LINK_INVALID"),
    ("another name", {"filename": "evil.exe"}, "403 LINK_INVALID"),
    ("a size", {"size": "1"}, "403 LINK_INVALID"),
    ("a parameter more", {"x": "1"}, "400 LINK_MALFORMED"),
]
RANGES: list[tuple[str, str, tuple[str, ...]]] = [
    ("a thousand times all of it", "bytes=" + ",".join(["0-"] * 1000), ("200",)),
    ("a thousand times a byte", "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), ("200",)),
    ("beyond the end", "bytes=1000-", ("416",)),
    ("backwards", "bytes=5-1", ("200",)),
    ("numbers of 5 000 digits", "bytes=" + "9" * 5000 + "-", ("200",)),
    ("letters", "bytes=a-b", ("200",)),
    ("another unit", "lines=1-2", ("200",)),
    ("signs", "bytes=-1--1", ("200",)),
    ("nothing", "bytes=", ("200",)),
    ("commas alone", "bytes=" + "," * 10_000, ("200",)),
    ("digits of others", "bytes=\u0661-".encode().decode("latin-1"), ("200",)),
]  # fmt: skip
OTHER = b"bytes nobody has sent"
PUTS: list[tuple[str, dict[str, str], bytes, str]] = [
    ("other bytes", {}, bytes(reversed(OTHER)), "400 DIGEST_MISMATCH"),
    ("too few bytes", {}, OTHER[:-1], "400 SIZE_MISMATCH"),
    ("too many bytes", {}, OTHER + b"x", "400 SIZE_MISMATCH"),
    ("another type", {"Content-Type": "text/html"}, OTHER, "403 HEADER_MISMATCH"),
    ("another checksum", {"x-amz-checksum-sha256": "AAAA"}, OTHER, "403 HEADER_MISMATCH"),
]


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, members, expected in GETS:
        yield hostile(
            f"link: {name}",
            lambda target, members=members: target.request("GET", altered(download(target), **members)),
            expected,
        )
    yield hostile(
        "link: one parameter twice",
        lambda target: target.request("GET", download(target) + "&expires=1"),
        "400 LINK_MALFORMED",
    )
    yield hostile(
        "link: the bytes of another", lambda target: target.request("GET", elsewhere(target)), "403 LINK_INVALID"
    )
    yield hostile(
        "link: a download to upload to",
        lambda target: target.request("PUT", download(target), content=CONTENT),
        "403 LINK_INVALID",
    )
    yield hostile(
        "link: by DELETE", lambda target: target.request("DELETE", download(target)), "405 METHOD_NOT_ALLOWED"
    )
    for name, value, expected in RANGES:
        yield hostile(
            f"range: {name}",
            lambda target, value=value: target.request(
                "GET", download(target), headers={"range": value.encode("latin-1")}
            )[:3],
            *expected,
        )
    for name, headers, content, expected in PUTS:
        yield hostile(
            f"upload: {name}", lambda target, headers=headers, content=content: put(target, content, headers), expected
        )
    yield hostile("upload: the same bytes again", again, "412 ALREADY_STORED")
    for name, ticket in tickets():
        yield hostile(
            f"ticket: {name}",
            lambda target, ticket=ticket: complete(target, ticket),
            "200 NotFoundError",
            "200 InvalidInputError",
        )
    for listed in LISTS:
        for name, cursor in cursors():
            yield hostile(
                f"cursor of {listed}: {name}",
                lambda target, listed=listed, cursor=cursor: turn(target, listed, cursor),
                REFUSED,
                "CURSOR_EXPIRED",
            )
        yield hostile(
            f"cursor of {listed}: of another list",
            lambda target, listed=listed: turn(target, listed, foreign(target)),
            REFUSED,
        )


def elsewhere(target: Target) -> str:
    """A link to the bytes, with the path of others in it."""
    return download(target).replace(hashlib.sha256(CONTENT).hexdigest(), "0" * 64)


def put(target: Target, content: bytes, headers: dict[str, str]) -> str:
    """The answer to bytes sent by the link of others, which are not here."""
    made = target.work.mutate("createUploads", project=target.work.name, objects=[announce(OTHER)])["uploads"][0]
    return brief(send(made, content, **headers))


def again(target: Target) -> str:
    return brief(send(upload(target), CONTENT))


def complete(target: Target, ticket: str) -> str:
    if ticket == "altered":
        real = upload(target)["id"]
        middle = len(real) // 2
        ticket = real[:middle] + ("A" if real[middle] != "A" else "B") + real[middle + 1 :]
    return target.ask(document("completeUpload"), {"input": {"upload": ticket}})


def tickets() -> list[tuple[str, str]]:
    payload = (
        base64.urlsafe_b64encode(json.dumps(["demo", "0" * 64, 1, "a/b", None, 9999999999, None]).encode())
        .decode()
        .rstrip("=")
    )
    return [
        ("nothing", ""),
        ("dots", "..."),
        ("no signature", f"u2.{payload}."),
        ("a signature of nothing", f"u2.{payload}.AAAA"),
        ("another version", f"u1.{payload}.AAAA"),
        ("1 MiB less a little", "u2." + "A" * 900_000 + ".AAAA"),
        ("half a surrogate pair", "u2.\ud800.\ud800"),
        ("one letter altered", "altered"),
    ]


def cursors() -> list[tuple[str, str]]:
    """Made up; the last ones as well as somebody can who reads how cursors are made."""
    return [
        ("nothing", ""),
        ("no base64", "!!!!"),
        ("letters", "AAAA"),
        ("half a surrogate pair", "\ud800"),
        ("500 000 letters", "A" * 500_000),
        *(
            (f"forged as {text[:20]}", forged(text))
            for text in (
                "1",
                "null",
                "{}",
                "[]",
                '["x",1,1]',
                '["\\ud800",0,0]',
                '["../../x",0,0]',
                "[[1],{},null]",
                "[" * 50_000,
            )
        ),
    ]


def forged(text: str) -> str:
    """A cursor that carries a text, with the checksum of the list of events."""
    check = hashlib.sha256(json.dumps(EVENTS).encode() + b"\0" + text.encode()).digest()[:8]
    return base64.urlsafe_b64encode(check + text.encode()).decode().rstrip("=")


def foreign(target: Target) -> str:
    """A good cursor of another list."""
    other = '{ projects(first: 1, prefix: "d") { pageInfo { endCursor } } }'
    if "foreign" not in target.memory:
        target.memory["foreign"] = target.server.ask(other)["projects"]["pageInfo"]["endCursor"]
    return str(target.memory["foreign"])


def turn(target: Target, listed: str, cursor: str) -> str:
    """What the server says to a cursor."""
    query = "query q($after: String) " + LISTS[listed] % "$after"
    return target.ask(query, {"after": cursor}).partition(" ")[2]
