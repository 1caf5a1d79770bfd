"""What differs between two manifests, entry by entry and leaf by leaf."""

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from app.registry.manifest import Entry, Manifest, Stored
from app.registry.model import Artifact, Change, ChangeKind, FieldChange, Project

_ABSENT = object()


def changes(project: Project, before: tuple[str, Manifest], after: tuple[str, Manifest]) -> tuple[Change, ...]:
    """The changes from one (commit, manifest) to another, by entry name."""
    old_commit, old = before
    new_commit, new = after
    return tuple(
        _change(project, name, (old_commit, old.entries.get(name)), (new_commit, new.entries.get(name)))
        for name in sorted(_differing(old.entries, new.entries))
    )


def change_of(
    project: Project, name: str, before: tuple[str, Entry | None], after: tuple[str, Entry | None]
) -> Change | None:
    """What happened to one entry between two commits, or None when nothing did."""
    return None if same(before[1], after[1]) else _change(project, name, before, after)


def _change(project: Project, name: str, before: tuple[str, Entry | None], after: tuple[str, Entry | None]) -> Change:
    old_commit, old = before
    new_commit, new = after
    kind = ChangeKind.MODIFIED if old and new else ChangeKind.ADDED if new else ChangeKind.REMOVED
    return Change(
        kind,
        name,
        new_commit,
        Artifact(project, old_commit, old) if old else None,
        Artifact(project, new_commit, new) if new else None,
    )


def _differing(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[str]:
    """The names under which two manifests do not say the same. Entries that nobody has read yet stay unread."""
    if isinstance(old, Stored) and isinstance(new, Stored):
        for name in {**old.lines, **new.lines}:
            one, other = old.lines.get(name), new.lines.get(name)
            if one != other and not (one and other and equal(json.loads(one), json.loads(other))):
                yield name
    else:
        yield from (name for name in {**old, **new} if not same(old.get(name), new.get(name)))


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries say the same: `1`, `1.0` and `true` are three things, and the order of keys says nothing."""
    if one is None or other is None:
        return one is other
    return one is other or equal(one.entry, other.entry)


def equal(one: Any, other: Any) -> bool:
    """JSON equality that tells numbers from booleans, and integers from floats, as a reader of the file does."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


def fields(change: Change) -> tuple[FieldChange, ...]:
    """The leaves that differ, as JSON pointers (RFC 6901) into the entry, in the order of the paths."""
    before = change.before.entry.entry if change.before else _ABSENT
    after = change.after.entry.entry if change.after else _ABSENT
    return tuple(sorted(_leaves("", before, after), key=lambda field: field.path))


def _leaves(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    one, other = _children(before), _children(after)
    if before is _ABSENT and other:
        one = type(other)()
    elif after is _ABSENT and one:
        other = type(one)()
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _leaves(f"{path}/{_escaped(key)}", one.get(key, _ABSENT), other.get(key, _ABSENT))
    elif isinstance(one, list) and isinstance(other, list):
        for index, (left, right) in enumerate(zip_longest(one, other, fillvalue=_ABSENT)):
            yield from _leaves(f"{path}/{index}", left, right)
    elif not equal(before, after):
        yield FieldChange(path, _shown(before), _shown(after))


def _children(value: Any) -> dict[str, Any] | list[Any] | None:
    """What is below a value; None for a leaf."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list | tuple) else None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value
