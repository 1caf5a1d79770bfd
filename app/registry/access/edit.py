"""Tokens put into the text of `access.yml` and taken out of it. Every other line and comment stays as it is.

What came of it is read again and compared with what was meant before anybody gets to see it.
"""

from collections.abc import Mapping
from typing import Any

from yaml import YAMLError

from app.registry.access.file import read_policy
from app.registry.access.page import LIMITS, PolicyError, Value, read_page
from app.registry.manifest import emit
from app.registry.manifest.composer import newline_of
from app.registry.manifest.nodes import compose
from app.registry.manifest.reader import BOM, text_of
from app.registry.manifest.splice import CannotSpliceError, Splicer, same

_STEP = 2
JSON = Mapping[str, Any]


def with_token(data: bytes, name: str, fields: JSON) -> bytes:
    """The file with one more token. Raises PolicyError when it is broken, or cannot take it."""
    page, old = _read(data)
    return _edited(data, page, {**old, "tokens": {**old.get("tokens", {}), name: fields}})


def without_token(data: bytes, name: str) -> bytes:
    """The file without a token. Raises PolicyError when it is broken, or cannot let go of it."""
    page, old = _read(data)
    return _edited(data, page, {**old, "tokens": {key: one for key, one in old["tokens"].items() if key != name}})


def _read(data: bytes) -> tuple[Value | None, JSON]:
    read_policy(data)
    page = read_page(data)
    return page, page.json if page else {}


def _edited(data: bytes, page: Value | None, meant: JSON) -> bytes:
    try:
        result = _spliced(data, page, meant)
        _, written = _read(result)
    except (CannotSpliceError, YAMLError, PolicyError) as error:
        raise _not_possible() from error
    if not same(written, meant):
        raise _not_possible()
    return result


def _spliced(data: bytes, page: Value | None, meant: JSON) -> bytes:
    text, _ = text_of(data, LIMITS)
    splicer = Splicer(text, newline_of(text), _STEP)
    if page is None:
        splicer.insert_lines(len(text), emit.pair("tokens", meant["tokens"], 0, _STEP))
    else:
        root = compose(text, page.page.root_place.offset, page.page.root_end)
        splicer.used = root.aliases
        splicer.mapping(root, page.json, meant)
    mark = BOM if data.startswith(BOM.encode()) else ""
    return f"{mark}{splicer.result()}".encode()


def _not_possible() -> PolicyError:
    return PolicyError(1, "Its tokens cannot be changed without touching other text; make this change with git.")
