"""What is pushed, before anybody sees it: unpacked and checked by stock git in a folder apart, then moved into place.

The folder has a name that `git gc` clears away, and a lock that ends with its process: what a killed server leaves goes
with the next push.
"""

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.stores.durable import sync_folder
from app.stores.errors import PackRefusedError, RefConflictError, RefMovedError, RepositoryBusyError, StoreError
from app.stores.git.disk import DiskObjects
from app.stores.git.hosted import DiskRepository
from app.stores.git.objects import Found
from app.stores.git.stock import plain_environment
from app.stores.serving import RefUpdate

PREFIX = "tmp_objdir-push-"
FEW_OBJECTS = 100  # are kept each by itself when they are also small: a pack a push would slow down every reader
SMALL = 1 << 20  # bytes of a pack
CHECKING_SECONDS = 600.0
HEADER_BYTES = 12
MOST_MEMORY = 512 << 20  # bytes of one object while a difference is applied
REMAINS = 300  # characters of what git says
SAID = re.compile(r"^(?:fatal|error): (.*)$", re.MULTILINE)
STREAM = ("-c", "core.bigFileThreshold=16m")  # larger ones never are in memory as a whole
CONFIG = ("-c", "core.fsync=committed", "-c", "core.fsyncMethod=fsync", "-c", "pack.threads=1", *STREAM)


class Quarantine(DiskRepository):
    """The repository at `path` with what was pushed beside its own objects; see Incoming."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._folder = path / "objects" / (PREFIX + secrets.token_hex(8))
        self._arrived = self._folder / "objects"
        self._objects = _Both(path, self._folder)

    @contextmanager
    def open(self) -> Iterator[Path]:
        """Where new objects go, for the time of the block. Raises RepositoryNotFoundError, RepositoryBusyError."""
        with ExitStack() as held:
            with self._writing():
                self._sweep()
                (self._arrived / "pack").mkdir(parents=True)
                held.enter_context(_locked(self._folder))
            held.callback(shutil.rmtree, self._folder)
            yield self._arrived

    def _sweep(self) -> None:
        """Remove what killed processes left. Call with the turn held, so that none is just beginning."""
        for left in (self._path / "objects").glob(f"{PREFIX}*"):
            with suppress(BlockingIOError, FileNotFoundError), _locked(left):
                shutil.rmtree(left)

    @property
    def repository(self) -> DiskRepository:
        """See Incoming."""
        return self

    def land(self, updates: Sequence[RefUpdate]) -> Mapping[str, StoreError | None]:
        """See Incoming."""
        with self._writing():
            outcomes = {update.name: self._refusal(update) for update in updates}
            if any(refusal is None for refusal in outcomes.values()):
                _settle(self._arrived, self._path / "objects")
            for update in updates:
                outcomes[update.name] = outcomes[update.name] or self._moved(update)
            return outcomes

    def _refusal(self, update: RefUpdate) -> StoreError | None:
        """Why a ref cannot be moved, as far as can be told before."""
        try:
            self._refs.check(self._refs.follow(update.name), update.old)
        except (RefMovedError, RefConflictError) as refusal:
            return refusal
        return None

    def _moved(self, update: RefUpdate) -> StoreError | None:
        """Move a ref; why that was not done."""
        try:
            if update.new is not None:
                self._refs.move(self._refs.follow(update.name), update.old, update.new)
            elif update.old is not None:
                self._refs.delete(update.name, update.old)
        except (RefMovedError, RefConflictError, RepositoryBusyError) as refusal:
            return refusal
        return None


class _Both(DiskObjects):
    """The objects of a repository, and those in a folder of their own."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path)
        self._arrived = DiskObjects(folder)

    def find(self, oid: str) -> Found | None:
        """See DiskObjects.find."""
        return self._arrived.find(oid) or super().find(oid)


@contextmanager
def quarantined(git: str, path: Path, updates: Sequence[RefUpdate], pack: BinaryIO) -> Iterator[Quarantine]:
    """See GitService.incoming, for the repository at `path`; `git` is where the stock client lies."""
    quarantine = Quarantine(path)
    with quarantine.open() as arrived:
        checks = _Checks(git, path, arrived)
        checks.unpack(pack)
        checks.connect([update.new for update in updates if update.new is not None])
        yield quarantine


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, for as long as this process lives. Raises BlockingIOError when another holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


class _Checks:
    """Stock git at work on one push."""

    def __init__(self, git: str, path: Path, arrived: Path) -> None:
        self._git = git
        self._environment = {
            **plain_environment(),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_DIR": str(path),
            "GIT_OBJECT_DIRECTORY": str(arrived),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(path / "objects"),
            "GIT_QUARANTINE_PATH": str(arrived),
            "GIT_ALLOC_LIMIT": str(MOST_MEMORY),
        }

    def unpack(self, pack: BinaryIO) -> None:
        """Take in a pack, every object checked. Raises PackRefusedError."""
        begin, size = pack.tell(), os.fstat(pack.fileno()).st_size
        if begin == size:
            return  # nothing is sent where only branches go away
        header = pack.read(HEADER_BYTES)
        little = int.from_bytes(header[8:], "big") < FEW_OBJECTS and size - begin < SMALL
        command = (
            ("unpack-objects", "-q", "--strict") if little else ("index-pack", "--stdin", "--fix-thin", "--strict")
        )
        os.lseek(pack.fileno(), begin, os.SEEK_SET)
        self._run("The pack cannot be kept", *command, given=pack)

    def connect(self, tips: Sequence[str]) -> None:
        """See that nothing is missing that the tips lead to. Raises PackRefusedError."""
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{tip}\n" for tip in tips).encode())
            wanted.seek(0)
            command = ("rev-list", "--objects", "--stdin", "--quiet", "--not", "--all")
            self._run("What was pushed is not whole", *command, given=wanted)

    def _run(self, failure: str, *command: str, given: BinaryIO) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the git found on the PATH, with arguments of our own
                [self._git, *CONFIG, *command],
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environment,
                timeout=CHECKING_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PackRefusedError(f"{failure}: checking it takes too long. Push fewer commits at once.") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").replace(self._environment["GIT_DIR"], "")
            found = SAID.findall(said)
            raise PackRefusedError(f"{failure}: {'; '.join(found)[:REMAINS] or 'git gave up'}")


def _settle(arrived: Path, home: Path) -> None:
    """Move objects to where they are found, durable on return; a pack's index last: its presence makes it one."""
    touched = set()
    files = sorted((file for file in arrived.rglob("*") if file.is_file()), key=lambda file: file.suffix == ".idx")
    for file in files:
        folder = home / file.parent.relative_to(arrived)
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            touched.add(home)
        file.replace(folder / file.name)
        touched.add(folder)
    for folder in touched:
        sync_folder(folder)


def _quoted(path: Path) -> str:
    """A path among the alternates, which are separated by colons."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
