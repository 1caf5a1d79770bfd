"""Entity tags: what a client that has an answer sends along, to be told that it is still the same."""

import hashlib
import re

from app.http.headers import Values

TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
LENGTH = 32
"""Hexadecimal digits of a tag."""


def tag_of(media_type: str, body: bytes) -> str:
    """The strong tag of a body in a media type."""
    return f'"{hashlib.sha256(media_type.encode() + b" " + body).hexdigest()[:LENGTH]}"'


def names(if_none_match: Values, tag: str) -> bool:
    """Whether an If-None-Match names the tag, be it as a weak one, or any tag."""
    listed = ",".join(if_none_match)
    return listed.strip() == "*" or tag in TAG.findall(listed)
