"""Where a repository lies that is not here: a URL taken apart, so that nothing in it can be taken for an option."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.stores.errors import RemoteUrlError

PORTS = {"https": 443, "http": 80, "ssh": 22}
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\Z")
EXTRAS = re.compile(r"[\x00-\x20\x7f?#]")
PATH = re.compile(r"/.*[^/]/?\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """The URL of a repository, `https://`, `http://` or `ssh://`. It holds no secret, so it may be shown."""

    scheme: str
    host: str
    port: int
    user: str | None
    path: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises RemoteUrlError, whose message repeats nothing of the URL: somebody may have put a password in it."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise RemoteUrlError(
                "The URL of the repository cannot be read. Write https://host/path or ssh://…"
            ) from error
        if parts.scheme not in PORTS:
            raise RemoteUrlError("A repository elsewhere has a URL that begins with https:// or ssh://.")
        if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
            raise RemoteUrlError("Credentials do not belong in a repository's URL: put them into the credentials file.")
        host = parts.hostname or ""
        if not HOST.match(host) or not PATH.match(parts.path) or EXTRAS.search(url):
            raise RemoteUrlError("The URL of the repository is not one Git takes. Write https://host/path or ssh://…")
        if parts.username is not None and not USER.match(parts.username):
            raise RemoteUrlError("The user in the repository's URL is none ssh takes.")
        return cls(parts.scheme, host, port or PORTS[parts.scheme], parts.username, parts.path.rstrip("/"))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{user}{host}{port}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def digest(self) -> str:
        """A file name for it."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:40]
