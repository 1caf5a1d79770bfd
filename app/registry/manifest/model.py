"""What a manifest is once it has been read: entries, their problems, and why a file was refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JSON = Any

RESERVED = ("dataObjectId", "type", "description", "labels", "object")
WRAPPER = "artifacts"


class Code(StrEnum):
    """Every reason why a file, an entry or an edit is not accepted: the closed list."""

    # The whole file is refused.
    TOO_LARGE = "TOO_LARGE"
    """The file has more bytes than allowed."""
    TOO_DEEP = "TOO_DEEP"
    """Collections are nested deeper than allowed, aliases followed."""
    TOO_MANY_NODES = "TOO_MANY_NODES"
    """The file has more keys and values than allowed."""
    TOO_MANY_ENTRIES = "TOO_MANY_ENTRIES"
    """The file has more entries than allowed."""
    ALIASES_TOO_LARGE = "ALIASES_TOO_LARGE"
    """Aliases repeat more than allowed."""
    NOT_UTF8 = "NOT_UTF8"
    """The bytes are not UTF-8."""
    BAD_CHARACTER = "BAD_CHARACTER"
    """A character that YAML does not allow in a file."""
    SYNTAX = "SYNTAX"
    """The text is not YAML."""
    SEVERAL_DOCUMENTS = "SEVERAL_DOCUMENTS"
    """The file holds more than one YAML document."""
    NOT_A_MAPPING = "NOT_A_MAPPING"
    """The document is not a mapping from entry names to entries."""
    DUPLICATE_KEY = "DUPLICATE_KEY"
    """The same key, or the same entry name, stands twice in one place."""
    TAG = "TAG"
    """A value carries a YAML tag such as `!!python/object` or `!!str`."""
    MERGE_KEY = "MERGE_KEY"
    """`<<` as a plain key: YAML 1.2 has no merging. In quotes it is a key like any other."""
    KEY_NOT_TEXT = "KEY_NOT_TEXT"
    """A key is a collection or an alias."""
    UNDEFINED_ALIAS = "UNDEFINED_ALIAS"
    """An alias names an anchor that does not stand before it."""
    CYCLE = "CYCLE"
    """A collection contains itself."""
    NOT_FINITE = "NOT_FINITE"
    """A number is infinite or not a number; JSON has neither."""
    NUMBER_TOO_LONG = "NUMBER_TOO_LONG"
    """An integer has more digits than allowed."""

    # One entry is not served; the others are.
    ENTRY_NOT_A_MAPPING = "ENTRY_NOT_A_MAPPING"
    """The entry is not a mapping."""
    ENTRY_WITHOUT_NAME = "ENTRY_WITHOUT_NAME"
    """An item of the `artifacts` list has neither `name` nor `id`."""
    BAD_NAME = "BAD_NAME"
    """The entry's name is not one an artifact may have."""
    BAD_FIELD = "BAD_FIELD"
    """A reserved key of the entry holds something it may not hold."""
    BAD_VALUE = "BAD_VALUE"
    """A value given for an entry cannot be written as JSON."""

    # An edit is refused.
    ENTRY_MISSING = "ENTRY_MISSING"
    """There is no such entry in the file."""
    NAME_TAKEN = "NAME_TAKEN"
    """Another entry has that name already."""
    ENTRY_SHARED = "ENTRY_SHARED"
    """The entry shares values with others through an anchor; changing it would change them."""
    NOT_SPLICEABLE = "NOT_SPLICEABLE"
    """The entry is written in a way that cannot be changed without touching other text."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label of an entry; `value` is None for a bare one."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ObjectPin:
    """The bytes an entry pins: `sha256` as 64 lowercase hex digits, `size` in bytes."""

    sha256: str
    size: int
    content_type: str = "application/octet-stream"
    filename: str | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a manifest. `line` and `column` count from 1 and are None when no place is to blame."""

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    artifact: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One entry. `entry` is all of it as JSON values in file order; `metadata` is what is not reserved."""

    name: str
    data_object_id: str | None
    type: str | None
    description: str
    labels: tuple[Label, ...]
    object: ObjectPin | None
    metadata: Mapping[str, JSON]
    entry: Mapping[str, JSON]

    def __eq__(self, other: Any) -> bool:  # noqa: PYI032 - `object` is a field here
        """Whether both say the same: all else follows from the name and the values."""
        return isinstance(other, Entry) and (self.name, self.entry) == (other.name, other.entry)

    __hash__ = None  # type: ignore[assignment]  # its values have none


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file that can be served: its entries in file order, and the problems of those entries that cannot be."""

    entries: Mapping[str, Entry]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may ask of the reader. `expanded` counts nodes with every alias replaced by what it names."""

    bytes: int = 8 << 20
    depth: int = 32
    nodes: int = 500_000
    expanded: int = 1_000_000
    entries: int = 20_000


DEFAULT_LIMITS = Limits()


class ManifestRefusedError(Exception):
    """The whole file is broken; `problems` (at least one) says why and where."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


class InvalidEntryError(Exception):
    """An entry given as values is not one; `problems` (at least one) says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


class EditRefusedError(Exception):
    """An edit was not made and nothing was changed. `message` says what to do, `name` which entry it was about."""

    def __init__(self, code: str, message: str, name: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.name = name
