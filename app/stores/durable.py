"""What every adapter on a disk has to do before it may say that something is kept."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias, TypeVar

THREADS = 8
AT_ONCE = 16
"""Files and folders that a writer of many holds open."""

T = TypeVar("T")
Sync: TypeAlias = Callable[[Sequence[int]], None]
"""Puts the files and folders that are open under these descriptors on the disk. Raises OSError."""


def one_by_one(descriptors: Sequence[int]) -> None:
    """The Sync that any number of files is good enough for."""
    for descriptor in descriptors:
        os.fsync(descriptor)


class Together:
    """The Sync for those who are waited for: asked for all at once, a disk takes little longer than for one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")

    def __call__(self, descriptors: Sequence[int]) -> None:
        """See Sync. When it returns or raises, no descriptor is in use any more."""
        begun = [self._pool.submit(os.fsync, descriptor) for descriptor in descriptors[1:]]
        try:
            one_by_one(descriptors[:1])
        finally:
            wait(begun)
        for one in begun:
            one.result()


def sync_folder(folder: Path) -> None:
    """Put on the disk what was created, renamed or removed in a folder."""
    sync_folders([folder], one_by_one)


def sync_folders(folders: Iterable[Path], sync: Sync) -> None:
    """The same of several folders."""
    for portion in portions([*folders]):
        with ExitStack() as opened:
            descriptors: list[int] = []
            for folder in portion:
                descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                opened.callback(os.close, descriptors[-1])
            sync(descriptors)


def portions(many: Sequence[T]) -> list[Sequence[T]]:
    """As many at a time as may be open at once; of none, one portion that is empty."""
    return [many[start : start + AT_ONCE] for start in range(0, len(many), AT_ONCE)] or [many]
