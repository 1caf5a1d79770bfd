"""What is put on the disk together, and what a disk that refuses does to those who wait for it."""

import os
import threading
import time
from pathlib import Path

import pytest

from app.stores.durable import Together, sync_folders


def test_the_disk_is_asked_for_all_of_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    all_there = threading.Barrier(3, timeout=5)
    monkeypatch.setattr(os, "fsync", lambda _: all_there.wait())
    Together()([1, 2, 3])


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_whichever_is_refused_the_caller_hears_of_it_once_none_is_in_use(
    monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    done = []

    def fsync(descriptor: int) -> None:
        if descriptor == refused:
            raise OSError(28, "No space left on device")
        time.sleep(0.05)
        done.append(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        Together()([1, 2, 3])
    assert sorted(done) == [one for one in (1, 2, 3) if one != refused]


def test_no_folder_stays_open_when_one_of_them_is_gone(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        sync_folders([tmp_path, tmp_path / "gone"], Together())
    assert len(list(Path("/dev/fd").iterdir())) == before
