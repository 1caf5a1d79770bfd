"""Webhooks nobody signed, or signed and full of lies."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from tests.support.hostile.day import JSON, Hostile, Target, hostile

UNSIGNED, MALFORMED, LARGE = "401 UNAUTHENTICATED", "400 BAD_REQUEST", "413 PAYLOAD_TOO_LARGE"
SIGNATURES: list[tuple[str, dict[str, str]]] = [
    ("no signature", {}),
    ("an empty signature", {"x-hub-signature-256": ""}),
    ("a signature of nothing", {"x-hub-signature-256": "sha256="}),
    ("a signature that is too long", {"x-hub-signature-256": "sha256=" + "0" * 60_000}),
    ("sha1", {"x-hub-signature": "sha1=" + "0" * 40}),
    ("letters beyond ASCII", {"x-hub-signature-256": "sha256=\xff\xfe"}),
    ("the secret of another host", {"x-gitlab-token": "the secret of the hooks"}),
]
BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", MALFORMED),
    ("a list", b"[]", MALFORMED),
    ("no JSON", b"ref=1", MALFORMED),
    ("100 000 brackets", b"[" * 100_000, MALFORMED),
    ("1 000 objects inside each other", b'{"a":' * 1000 + b"1" + b"}" * 1000, MALFORMED),
    ("2 MiB", b" " * (2 << 20), LARGE),
    ("a number of 5 000 digits", b'{"a":' + b"9" * 5000 + b"}", MALFORMED),
]
URLS = [
    *("file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://localhost:6379/", "ext::sh -c id"),
    *("ssh://-oProxyCommand=id/x", "gopher://127.0.0.1:70/x", "https://[::1/x", "//", "", "\0", "\ud800"),
    "https://git.example.org/" + "a" * 100_000,
]


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, headers in SIGNATURES:
        yield hostile(f"hook: {name}", lambda target, headers=headers: deliver(target, b"{}", headers), UNSIGNED)
    for name, body, expected in BODIES:
        yield hostile(f"hook: a signed body that is {name}", lambda target, body=body: signed(target, body), expected)
    for url in URLS:
        payload = {"repository": {"clone_url": url, "ssh_url": url, "git_http_url": url}}
        yield hostile(
            f"hook: a repository at {url[:40]!a}", lambda target, payload=payload: signed(target, payload), "202"
        )
    nouns = {"repository": {f"a{n}": "https://x" for n in range(5000)}, "project": 7}
    yield hostile("hook: 5 000 members", lambda target: signed(target, nouns), "202")
    yield hostile(
        "hook: a project that is a path", lambda target: signed(target, {}, "/hooks/gitea/../../etc"), "404 NOT_FOUND"
    )
    yield hostile("hook: a host nobody knows", lambda target: signed(target, {}, "/hooks/evil"), "404 NOT_FOUND")
    yield hostile("hook: by GET", lambda target: target.request("GET", "/hooks/github"), "405 METHOD_NOT_ALLOWED")


def signed(target: Target, payload: Any, path: str = "/hooks/gitea") -> str:
    """The answer to what the host itself signed."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    digest = hmac.new(target.hook_secret.encode(), body, hashlib.sha256).hexdigest()
    return deliver(target, body, {"x-gitea-signature": digest}, path)


def deliver(target: Target, body: bytes, headers: dict[str, str], path: str = "/hooks/gitea") -> str:
    raw = {name: value.encode("latin-1") for name, value in {**JSON, **headers}.items()}
    return target.request("POST", path, content=body, headers=raw)
