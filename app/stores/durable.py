"""What every adapter on a disk has to do before it may say that something is kept."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Put on the disk what was created, renamed or removed in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
