"""What a caller asks of a manifest, and the edits that do it to the manifest as it stands.

A change is an operation, not a text: when somebody else commits first, the same change is planned again on the new
head. So writers of different entries never meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.registry.diff import equal
from app.registry.errors import InvalidInputError, Issue, NotFoundError, Subject
from app.registry.manifest import Edit, Entry, InvalidEntryError, Manifest, Put, Remove, Rename, Restore, entry_from

PENDING = "pending"


@dataclass(frozen=True, slots=True)
class PutEntry:
    """Add an entry, or replace it whole."""

    name: str
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PatchEntry:
    """Merge into an entry (RFC 7396). `pin` is the new `object` of the entry, None to leave it as the patch has it."""

    name: str
    patch: Mapping[str, Any]
    pin: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RenameEntry:
    """Call an entry otherwise and leave all else of it alone."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """Remove an entry."""

    name: str


@dataclass(frozen=True, slots=True)
class RestoreEntry:
    """Put an entry back as `source`, another version of the file, has it: its very text. `entry` is what it says."""

    name: str
    source: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class SettleObject:
    """The bytes have arrived, `size` of them: take `state: pending` from every entry that pins just these."""

    sha256: str
    size: int


EntryChange = PutEntry | PatchEntry | RenameEntry | DeleteEntry | RestoreEntry | SettleObject


@dataclass(frozen=True, slots=True)
class Plan:
    """The edits that carry out some changes, and what they do in words: (verb, name) pairs for a message."""

    edits: tuple[Edit, ...]
    acts: tuple[tuple[str, str], ...]


def touched(changes: Sequence[EntryChange]) -> frozenset[str]:
    """The names of the entries that changes read or write."""
    found: set[str] = set()
    for change in changes:
        if isinstance(change, RenameEntry):
            found |= {change.name, change.to}
        elif not isinstance(change, SettleObject):
            found.add(change.name)
    return frozenset(found)


def plan(changes: Sequence[EntryChange], manifest: Manifest) -> Plan:
    """What to edit in a manifest; what changes nothing adds nothing. Raises NotFoundError, InvalidInputError."""
    planner = _Planner(manifest)
    for index, change in enumerate(changes):
        planner.take(index, change)
    return Plan(tuple(planner.edits), tuple(planner.acts))


class _Planner:
    """Follows the changes in order on the entries they leave behind."""

    def __init__(self, manifest: Manifest) -> None:
        self._before = manifest.entries
        self._after: dict[str, Mapping[str, Any] | None] = {}  # of those that changed; None for one that is gone
        self.edits: list[Edit] = []
        self.acts: list[tuple[str, str]] = []

    def take(self, index: int, change: EntryChange) -> None:
        """Plan one change on top of those before it."""
        match change:
            case PutEntry(name, entry):
                self._put(name, entry, "Update" if self._find(name) is not None else "Add")
            case PatchEntry(name, patch, pin):
                self._put(name, _patched(index, name, self._require(name), patch, pin), "Update")
            case RenameEntry(name, to):
                self._rename(index, name, to)
            case DeleteEntry(name):
                self._require(name)
                self._after[name] = None
                self._do(Remove(name), "Delete", name)
            case RestoreEntry(name, source, entry):
                self._after[name] = entry.entry  # which may be there already, in other words
                self._do(Restore(name, source), "Restore", name)
            case SettleObject():
                for name in {**self._before, **self._after}:
                    waiting = self._find(name)
                    if waiting is not None and _awaits(waiting, change):
                        settled = {key: value for key, value in waiting["object"].items() if key != "state"}
                        self._put(name, {**waiting, "object": settled}, "Receive the bytes of")

    def _put(self, name: str, entry: Mapping[str, Any], verb: str) -> None:
        known = self._find(name)
        if known is not None and equal(known, entry):
            return
        self._after[name] = entry
        self._do(Put(name, entry), verb, name)

    def _rename(self, index: int, name: str, to: str) -> None:
        entry = self._require(name)
        if name == to:
            return
        if self._find(to) is not None:
            path = ("changes", str(index), "rename", "to")
            raise InvalidInputError.of(path, f"There is an artifact {to!r} already; delete it first or choose another.")
        self._after[name], self._after[to] = None, entry
        self.edits.append(Rename(name, to))
        self.acts.append(("Rename", f"{name} to {to}"))

    def _do(self, edit: Edit, verb: str, name: str) -> None:
        self.edits.append(edit)
        self.acts.append((verb, name))

    def _require(self, name: str) -> Mapping[str, Any]:
        entry = self._find(name)
        if entry is None:
            raise NotFoundError(Subject.ARTIFACT, name)
        return entry

    def _find(self, name: str) -> Mapping[str, Any] | None:
        """What has that name by now."""
        if name in self._after:
            return self._after[name]
        return self._before[name].entry if name in self._before else None


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _patched(
    index: int, name: str, entry: Mapping[str, Any], patch: Mapping[str, Any], pin: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    merged = dict(merge_patch(entry, patch))
    if pin is not None:
        # An id that was the digest of the bytes stays the digest of the bytes.
        follows = "object" in entry and entry.get("dataObjectId") == f"sha256:{entry['object'].get('sha256')}"
        if "dataObjectId" not in patch and (follows or "dataObjectId" not in entry):
            merged["dataObjectId"] = f"sha256:{pin['sha256']}"
        merged["object"] = dict(pin)
    try:
        return entry_from(name, merged).entry
    except InvalidEntryError as error:
        path = ("changes", str(index), "patch", "patch")
        raise InvalidInputError([Issue(path, problem.message) for problem in error.problems]) from error


def _awaits(entry: Mapping[str, Any], arrived: SettleObject) -> bool:
    pinned = entry.get("object") or {}
    return (pinned.get("sha256"), pinned.get("size"), pinned.get("state")) == (arrived.sha256, arrived.size, PENDING)
