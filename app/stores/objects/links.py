"""Signed links: what one request may do with one object, provable without remembering anything."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from app.stores.errors import LinkRefusedError
from app.stores.ports import ObjectKey

_NUMBER = re.compile(r"[0-9]{1,15}\Z")
_REQUIRED = frozenset({"type", "expires", "signature"})
_ALLOWED = _REQUIRED | {"size", "filename"}


@dataclass(frozen=True, slots=True)
class Link:
    """What a link allows until `expires` (unix seconds). A PUT has a `size` in bytes, a GET may have a `filename`."""

    method: Literal["PUT", "GET"]
    key: ObjectKey
    content_type: str
    expires: int
    size: int | None = None
    filename: str | None = None


class Links:
    """Writes links as URLs under `base_url`, and believes only those that `secret` signed."""

    def __init__(self, base_url: str, secret: bytes) -> None:
        self._base_url = base_url.rstrip("/")
        self._secret = secret

    def url(self, link: Link) -> str:
        """`<base_url>/objects/<project>/<sha256>?…&expires=<unix>&signature=<hex>`."""
        query = {"type": link.content_type, "size": link.size, "filename": link.filename, "expires": link.expires}
        given = {name: value for name, value in query.items() if value is not None}
        text = urlencode({**given, "signature": self._signature(link)}, quote_via=quote, safe="")
        return f"{self._base_url}/objects/{quote(link.key.project)}/{link.key.sha256}?{text}"

    def read(self, method: str, key: ObjectKey, query: Sequence[tuple[str, str]]) -> Link:
        """The link a request came by; a GET link serves HEAD as well. Raises LinkRefusedError."""
        verb: Literal["PUT", "GET"] = "PUT" if method == "PUT" else "GET"
        values = dict(query)
        if len(values) != len(query) or not _REQUIRED <= values.keys() <= _ALLOWED:
            raise LinkRefusedError(400, "LINK_MALFORMED", "This is no complete link: use it exactly as it was given.")
        if not all(_NUMBER.match(values[name]) for name in ("expires", "size") if name in values):
            raise LinkRefusedError(400, "LINK_MALFORMED", "The size and the expiry of a link are decimal numbers.")
        size = int(values["size"]) if "size" in values else None
        link = Link(verb, key, values["type"], int(values["expires"]), size, values.get("filename"))
        if not hmac.compare_digest(self._signature(link).encode(), values["signature"].encode("utf-8", "replace")):
            raise LinkRefusedError(
                403, "LINK_INVALID", "This link was not made for this request: use method and URL exactly as given."
            )
        if time.time() >= link.expires:
            raise LinkRefusedError(403, "LINK_EXPIRED", "This link has expired: ask for a new link.")
        return link

    def _signature(self, link: Link) -> str:
        # A JSON list has one reading only, and its first item keeps other uses of the secret apart.
        fields = [link.method, link.key.project, link.key.sha256, link.size, link.content_type, link.expires]
        text = json.dumps(["object-link-1", *fields, link.filename])
        return hmac.digest(self._secret, text.encode(), hashlib.sha256).hex()
