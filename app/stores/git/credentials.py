"""Who we are to other Git servers: a file in the format of git's own credential store, read again when it changes."""

import base64
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.stores.errors import RemoteUnavailableError, RemoteUrlError
from app.stores.git.address import PORTS, Address

Origin = tuple[str, str, int]
log = logging.getLogger("ml_registry.git")


class Credentials:
    """What the file at `path` has for each host, a line `https://user:token@git.example.org`; nothing without a file.

    Of two lines for one host the first counts. A line also says that the host may be inside the network, and `http://…`
    that plain HTTP to it is wanted; `https://git.example.org` says so of a host that wants no password.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read: tuple[tuple[int, ...], Mapping[Origin, str]] = ((), {})

    def authorization(self, address: Address) -> str | None:
        """The header's value for a host, None when the file has nothing for it. Raises RemoteUnavailableError."""
        return self._known().get(address.origin) or None

    def lists(self, address: Address) -> bool:
        """Whether the file names the host. Raises RemoteUnavailableError."""
        return address.origin in self._known()

    def permit(self, address: Address) -> None:
        """Raises RemoteUrlError for a host to which a password would travel in the clear, unless it is listed so."""
        if address.scheme == "http" and not self.lists(address):
            raise RemoteUrlError(
                f"Plain http to {address.host} would show its password to everybody on the way. Use https://, or have "
                "the operator list that host as http://."
            )

    def _known(self) -> Mapping[Origin, str]:
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = (status.st_ino, status.st_size, status.st_mtime_ns)
                if key != self._read[0]:
                    self._read = (key, _parse(file.read().decode("utf-8", "replace")))
        except OSError as error:
            log.warning("the credentials file %s cannot be read: %s", self._path, error.strerror)
            message = "The credentials for Git hosts cannot be read. The operator finds more in the server's log."
            raise RemoteUnavailableError(message) from error
        return self._read[1]


def _parse(text: str) -> dict[Origin, str]:
    """The header for each host. Lines that name no host are left out, and the log says which; never what they say."""
    known: dict[Origin, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            parts = urlsplit(line.strip())
            origin = (parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])
        except (ValueError, KeyError):
            log.warning("line %d of the credentials file is not like https://user:token@host", number)
            continue
        known.setdefault(origin, _basic(parts.username or "", parts.password or ""))
    return known


def _basic(user: str, password: str) -> str:
    if not user and not password:
        return ""
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
