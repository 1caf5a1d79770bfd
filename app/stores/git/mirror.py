"""The copy that is here of a repository elsewhere. It may be lost at any moment: the next look makes it again.

Refs are only ever moved from where they were before the remote was asked: when one is elsewhere by then, a push of
ours put it there, and what the remote said is old.
"""

import logging
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dulwich.errors import GitProtocolError
from dulwich.objects import ShaFile

from app.stores.durable import sync_folder
from app.stores.errors import (
    RefConflictError,
    RefMovedError,
    RemoteUnavailableError,
    RepositoryBusyError,
    RepositoryCorruptError,
    StoreError,
)
from app.stores.git.disk import DiskObjects
from app.stores.git.hosted import lay_out
from app.stores.git.incoming import receive
from app.stores.git.locks import Turns, flocked, write_durably
from app.stores.git.refs import HEADS, SYMBOLIC, DiskRefs
from app.stores.git.remote import Listing, Reading, Remote

PATIENCE = 600.0  # seconds for another process to bring a whole repository here
MOST_HAVES = 256
MOST_LOOSE = 2000  # objects that lie by themselves
MOST_PACKS = 50
COUNTED_EVERY = 3600.0  # seconds
ON_ITS_WAY = 3600.0  # seconds a push may take, and more
USUAL = ("main", "master")
log = logging.getLogger("ml_registry.git")


class Mirror:
    """The bare repository at `path`, which follows `remote`. Several processes may share it."""

    def __init__(self, path: Path, remote: Remote) -> None:
        self.path = path
        self.objects = DiskObjects(path)
        self._remote = remote
        self._turns = Turns(path)
        self._refs = DiskRefs(path, self._turns)
        self._counted = float("-inf")

    def there(self) -> bool:
        """Whether there is a copy at all."""
        return (self.path / "HEAD").is_file()

    def follow(self, *, afresh: bool, missed: Collection[str] = ()) -> None:
        """Look at the remote, and bring here what is new there; everything when `afresh`.

        Commits that are `missed` then are asked for by their ids. Raises as Repository.fetch, and StoreError when the
        disk does not take it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_suffix(".lock")
            lock.touch()
            with flocked(lock, time.monotonic() + PATIENCE):
                if afresh:
                    self._make()  # and then see what was pushed meanwhile
                if self.there():
                    self._update()
                else:
                    self._make()
                if self._is_crowded():
                    self._tidy()
                self._seek(missed)
        except RepositoryBusyError as error:
            raise RemoteUnavailableError("Another process has been fetching this repository for too long.") from error
        except OSError as error:
            raise self._unwritable(error) from error

    def keep(self, new: Sequence[ShaFile], *, packed: bool) -> None:
        """Store objects that are about to be pushed. Raises StoreError."""
        try:
            self.objects.write(new, packed=packed)
        except OSError as error:
            raise self._unwritable(error) from error

    def move(self, branch: str, old: str | None, new: str | None) -> None:
        """Put a branch where a push has put it (None: nowhere), unless a look has found it elsewhere meanwhile."""
        try:
            if new is None or self.objects.find(new):  # else the mirror was made again meanwhile
                self._move(HEADS + branch, old, new)
        except (RepositoryCorruptError, OSError) as error:
            log.warning("the mirror %s did not take a push and follows later: %s", self.path, error)

    def _unwritable(self, error: OSError) -> StoreError:
        log.warning("the mirror %s cannot be written: %s", self.path, error)
        why = error.strerror or error
        return StoreError(f"The copy of this repository that is here cannot be written: {why}. Free the disk.")

    def _update(self) -> None:
        try:
            look = self._refs.look()
            known, default = look.values, self._refs.default(look)
            with self._remote.reading() as reading:
                listed = reading.listing()
                moved = {ref: oid for ref, oid in listed.refs.items() if known.get(ref) != oid}
                wants = {oid for oid in moved.values() if self.objects.find(oid) is None}
                _take(reading, self.objects, wants, _haves(known, moved))
        except RepositoryCorruptError as error:
            log.warning("the mirror %s is made again: %s", self.path, error)
            self._make()
            return
        for ref in known.keys() - listed.refs.keys():
            self._move(ref, known[ref], None)
        for ref, oid in moved.items():
            self._move(ref, known.get(ref), oid)
        if (named := _default(listed, default)) != default:
            self._name(named)

    def _seek(self, missed: Collection[str]) -> None:
        """Ask for commits that no branch leads to any more: many servers keep them, and give them to who knows the id.

        One by one, for a server that refuses one refuses all it is asked for together.
        """
        for oid in missed:
            if self.objects.find(oid) is None:
                with suppress(StoreError), self._remote.reading() as reading, suppress(GitProtocolError):
                    _take(reading, self.objects, [oid], _haves(self._refs.look().values, {}))

    def _is_crowded(self) -> bool:
        """Whether there is much in it that belongs together or to nothing; counted once in a while."""
        if time.monotonic() - self._counted < COUNTED_EVERY:
            return False
        self._counted = time.monotonic()
        packs = sum(1 for _ in self.objects.path.glob("pack/*.idx"))
        return packs > MOST_PACKS or sum(1 for _ in self.objects.path.glob("??/*")) > MOST_LOOSE

    def _tidy(self) -> None:
        """Bring everything once more, together, and remove what was here before and what no branch leads to.

        What was written a short while ago stays: a push that is on its way needs it.
        """
        before = time.time() - ON_ITS_WAY
        try:
            with self._remote.reading() as reading:
                _take(reading, self.objects, set(reading.listing().refs.values()), ())
        except StoreError as error:
            log.warning("the mirror %s is tidied another time: %s", self.path, error)
            return
        for path in [file for kind in ("??/*", "pack/*.idx", "pack/tmp_*") for file in self.objects.path.glob(kind)]:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    if path.suffix == ".idx":
                        path.with_suffix(".pack").unlink()

    def _make(self) -> None:
        """A new copy, put in the place of the old one once it is whole."""
        draft, old = self.path.with_suffix(".new"), self.path.with_suffix(".old")
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            with self._remote.reading() as reading:
                listed = reading.listing()
                lay_out(draft, _default(listed, None))
                _take(reading, DiskObjects(draft), set(listed.refs.values()), ())
            lines = "".join(f"{oid} {ref}\n" for ref, oid in sorted(listed.refs.items()))
            write_durably(draft / "packed-refs", lines.encode())
            if self.path.exists():
                self.path.rename(old)
            draft.rename(self.path)
            sync_folder(self.path.parent)
        finally:
            for left in (draft, old):
                shutil.rmtree(left, ignore_errors=True)

    def _move(self, ref: str, old: str | None, new: str | None) -> None:
        """Move one ref in a turn of its own, so that a push need not wait for very many."""
        try:
            with self._turns.turn():
                if new is not None:
                    self._refs.move(ref, old, new)
                elif old is not None:
                    self._refs.delete(ref, old)
        except RefMovedError:
            log.debug("%s of %s has moved meanwhile", ref, self.path)
        except (RefConflictError, RepositoryBusyError) as error:
            log.warning("%s of %s waits for the next look: %s", ref, self.path, error)

    def _name(self, branch: str) -> None:
        """Make a branch the default one."""
        draft = self.path / "HEAD.new"
        draft.unlink(missing_ok=True)
        write_durably(draft, f"{SYMBOLIC}{HEADS}{branch}\n".encode())
        draft.replace(self.path / "HEAD")


def _take(reading: Reading, objects: DiskObjects, wants: Collection[str], haves: Collection[str]) -> None:
    """Bring here what is wanted, and all behind it. Raises RemoteUnavailableError when it does not come."""
    if wants:
        receive(objects, reading.fetch(wants, haves))
    if missing := [oid for oid in wants if objects.find(oid) is None]:
        raise RemoteUnavailableError(f"The server did not send {missing[0]}, which it names.")


def _haves(known: Mapping[str, str], moved: Mapping[str, str]) -> list[str]:
    """What to say is here: first where the refs that moved were, then others, not without an end."""
    ordered = dict.fromkeys([*(known[ref] for ref in moved if ref in known), *known.values()])
    return list(ordered)[:MOST_HAVES]


def _default(listed: Listing, last: str | None) -> str:
    """The default branch: the one the remote names, if it is there; else the last known; else the usual ones."""
    heads = [ref.removeprefix(HEADS) for ref in sorted(listed.refs) if ref.startswith(HEADS)]
    candidates = (listed.named, last, *USUAL)
    there = (name for name in candidates if name is not None and name in heads)
    return next(there, heads[0] if heads else last or listed.named or USUAL[0])
