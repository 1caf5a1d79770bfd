"""The server's own secret: what it signs object links and upload tickets with."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

from app.stores.durable import sync_folder
from app.stores.errors import StoreError

SECRET_BYTES = 32


def shared_secret(text: str) -> bytes:
    """The 32 bytes that servers have in common which are told the same text."""
    return hashlib.sha256(text.encode()).digest()


def signing_secret(path: Path) -> bytes:
    """The 32 random bytes kept in `path`, made on the first call, readable by the owner only.

    Servers that start at the same moment agree on one. Raises StoreError when the file holds something else.
    """
    if not path.exists():
        _make(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StoreError(
            f"{path} holds {len(secret)} bytes where {SECRET_BYTES} are expected. Restore it from a backup, "
            "or delete it: a new one is made, and links and tickets handed out before stop working."
        )
    return secret


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        return  # another server was first, and its secret is as good
    finally:
        Path(name).unlink()
    sync_folder(path.parent)
