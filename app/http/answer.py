"""An answer in JSON: its status, its headers, and whether the client has it already."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

from app.http import etag
from app.http.body import encode_json
from app.http.errors import Refusal
from app.http.headers import Values
from app.http.negotiation import PLAIN_JSON, RESPONSE_JSON
from app.registry.trail import About, fails

Header: TypeAlias = tuple[bytes, bytes]
CONTENT_TYPE = {name: (b"content-type", f"{name}; charset=utf-8".encode()) for name in (RESPONSE_JSON, PLAIN_JSON)}
ALWAYS: tuple[Header, ...] = ((b"vary", b"Accept, Authorization"), (b"x-content-type-options", b"nosniff"))
NEVER_KEPT: tuple[Header, ...] = ((b"cache-control", b"no-store"), *ALWAYS)
KEPT_AND_ASKED_ABOUT: tuple[Header, ...] = ((b"cache-control", b"private, no-cache"), *ALWAYS)


@dataclass(frozen=True, slots=True)
class Answer:
    """An ASGI application that sends this, whatever was asked.

    One that `lasts` is right for as long as what it rests on stands. It has a tag if the client may keep it. `about` is
    what was asked.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""
    tag: str = ""
    lasts: bool = False
    about: About | None = None

    def unless(self, if_none_match: Values) -> "Answer":
        """304 and no body for a client that has this very answer."""
        if self.tag and etag.names(if_none_match, self.tag):
            return Answer(304, _kept_by_client(self.tag))
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


def of_the_moment(status: int, body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that nobody may keep."""
    more = tuple((name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items())
    return Answer(status, (*_content(body, media_type), *NEVER_KEPT, *more), body)


def refused(refusal: Refusal) -> Answer:
    """The answer to a refused request, in the media type that says a GraphQL server refused it."""
    fails(refusal.code)
    return of_the_moment(refusal.status, encode_json({"errors": refusal.errors}), RESPONSE_JSON, refusal.headers)


def lasting(body: bytes, media_type: str, *, tagged: bool, lasts: bool, about: About | None = None) -> Answer:
    """An answer without errors that may be kept; by a client too if it is `tagged`, which then has to ask about it."""
    content = _content(body, media_type)
    if not tagged:
        return Answer(200, (*content, *NEVER_KEPT), body, lasts=lasts, about=about)
    tag = etag.tag_of(media_type, body)
    return Answer(200, (*content, *_kept_by_client(tag)), body, tag, lasts, about)


def _kept_by_client(tag: str) -> tuple[Header, ...]:
    return (b"etag", tag.encode()), *KEPT_AND_ASKED_ABOUT


def _content(body: bytes, media_type: str) -> tuple[Header, ...]:
    return CONTENT_TYPE[media_type], (b"content-length", str(len(body)).encode())
