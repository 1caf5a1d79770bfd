"""The headers of a request, read from its scope without making an object of them."""

from collections.abc import Callable, Container
from functools import lru_cache
from typing import TypeAlias, TypeVar
from uuid import uuid4

from starlette.types import Scope

Values: TypeAlias = tuple[str, ...]
"""What a request says in one header, once for every time it stands there."""
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Headers by their names in lower case, in the order of the request."""
Read = TypeVar("Read")

KEPT_VALUES = 64
KEPT_LENGTH = 512
"""Characters of what is worth remembering."""


def values_of(scope: Scope, name: bytes) -> Values:
    """The values of a header, its name in lower case; empty when the request has none."""
    return tuple([value.decode("latin-1") for key, value in scope["headers"] if key == name])


def id_of(scope: Scope) -> str:
    """The id of a request, as it stands in the log."""
    return str(scope.get("state", {}).get("request_id") or uuid4().hex)


def named(scope: Scope, names: Container[bytes]) -> Headers:
    """The headers of these names, in lower case, as the request has them."""
    return tuple([one for one in scope["headers"] if one[0] in names])


def asks_anew(scope: Scope) -> bool:
    """Whether a request says `Cache-Control: no-cache`. Browsers say it of every socket, where it means nothing."""
    said = ",".join(values_of(scope, b"cache-control")) if scope["type"] == "http" else ""
    return bool(said) and "no-cache" in map(str.strip, said.lower().split(","))


def remembering(read: Callable[[Values], Read]) -> Callable[[Values], Read]:
    """The same function, which reads only what it did not read lately: most requests carry the same few values."""
    kept = lru_cache(KEPT_VALUES)(read)
    return lambda values: (kept if sum(map(len, values)) <= KEPT_LENGTH else read)(values)
