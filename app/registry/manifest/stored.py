"""A manifest as bytes for a cache or another process, and back: lines of JSON behind a version and a checksum.

Each entry is a line of its own, read when it is first asked for: a large manifest is there at once, and nobody waits
for entries that nobody asks for.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from typing import Any

from app.registry.manifest.interpret import interpret
from app.registry.manifest.model import Entry, Limits, Manifest, ManifestRefusedError, Problem
from app.registry.manifest.reader import read

_MAGIC = b"manifest 2 "


class Unread(Entry):
    """An entry that is a line of JSON until anything but its name is asked for. Any thread may ask."""

    __slots__ = ("_line",)

    def __init__(self, name: str, line: bytes) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_line", line)

    def __getattr__(self, field: str) -> Any:
        """Only called for what is not there yet."""
        made = interpret(self.name, json.loads(self._line))
        if not isinstance(made, Entry):
            raise ValueError(f"the stored manifest holds {self.name!r}, which is not an entry")  # noqa: TRY004 - see from_json
        for one in fields(Entry):
            object.__setattr__(self, one.name, getattr(made, one.name))
        return getattr(made, field)


class Stored(Mapping[str, Entry]):
    """Entries by name, and the line of each."""

    def __init__(self, lines: Mapping[str, bytes]) -> None:
        self.lines = lines
        self._entries: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Unread(name, self.lines[name])
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)


def to_json(manifest: Manifest) -> bytes:
    """The manifest as bytes that `from_json` reads."""
    names, problems = list(manifest.entries), [astuple(problem) for problem in manifest.problems]
    body = b"\n".join([_json(names), _json(problems), *_lines(manifest.entries)])
    return _MAGIC + _checksum(body) + b"\n" + body


def from_json(data: bytes) -> Manifest:
    """The manifest that `to_json` made `data` of. Raises ValueError on any other bytes."""
    head, _, body = data.partition(b"\n")
    if head != _MAGIC + _checksum(body):
        raise ValueError("these bytes are not a stored manifest")
    names, problems, *lines = body.split(b"\n")
    entries = Stored(dict(zip(json.loads(names), lines, strict=True)))
    return Manifest(entries, tuple(Problem(*problem) for problem in json.loads(problems)))


def read_stored(data: bytes, limits: Limits) -> bytes | tuple[Problem, ...]:
    """The manifest in a file as `to_json` has it, or why it is refused: what another process can answer with."""
    try:
        return to_json(read(data, limits))
    except ManifestRefusedError as refused:
        return refused.problems


def _lines(entries: Mapping[str, Entry]) -> Iterable[bytes]:
    return entries.lines.values() if isinstance(entries, Stored) else [_json(one.entry) for one in entries.values()]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
