"""Projects whose repository lies elsewhere: when to look there next, and what their host's refusals mean to callers."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from app.registry.errors import RemoteRejectedError, RemoteUnavailableError
from app.registry.model import Project
from app.stores import errors

SCATTER = 0.2
"""Of the interval, by which looks are scattered: replicas, and the projects of one host, must not march in step."""
EARLY = 5.0
"""Seconds from one look to the next while the cache lacks what was seen."""
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:]+):(?P<path>(?!//).+)\Z")


class Schedule:
    """When each remote project is to be looked at again: about `seconds` after the last time, or at the next round."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next: dict[str, tuple[float, float, int]] = {}
        self._calls: Counter[str] = Counter()

    def due(self, project: Project, *, early: bool) -> bool:
        """Whether it is time, which begins the next wait; `early` when there is more to do than to look."""
        calls = self._calls[_repository(project)]
        now, (soonest, at, heard) = time.monotonic(), self._next.get(project.name, (0.0, 0.0, 0))
        if heard == calls and now < (soonest if early else at):
            return False
        wait = self._seconds * random.uniform(1 - SCATTER, 1 + SCATTER)  # noqa: S311 (spreads load, guards nothing)
        self._next[project.name] = now + min(EARLY, wait), now + wait, calls
        return True

    def soon(self, project: Project) -> None:
        """Look at the next round: somebody says that something happened in its repository, which others may share."""
        self._calls[_repository(project)] += 1


def _repository(project: Project) -> str:
    return project.remote_url or project.name


@contextmanager
def refusals() -> Iterator[None]:
    """What a Git server elsewhere says, as refusals that callers can act on."""
    try:
        yield
    except errors.StoreError as error:
        refusal = refusal_of(error)
        if refusal is error:
            raise
        raise refusal from error


def refusal_of(error: Exception) -> Exception:
    """What callers may be told of an error: of a Git server's the refusal it is, any other as it is."""
    if isinstance(error, errors.RemoteRefusedError):
        return RemoteRejectedError(str(error), error.reason)
    if isinstance(error, errors.RemoteUnavailableError | errors.RemoteUrlError | errors.RepositoryNotFoundError):
        return RemoteUnavailableError(str(error))
    return error


@contextmanager
def unreachable() -> Iterator[None]:
    """The same where nothing is written: whatever the reason, the repository cannot be looked at."""
    try:
        with refusals():
            yield
    except RemoteRejectedError as error:
        raise RemoteUnavailableError(error.message) from error


def host_of(project: Project) -> str:
    """The machine that has a project's repository, and its port."""
    return urlsplit(project.remote_url or "").netloc.rpartition("@")[2]


def place_of(url: str) -> tuple[str, str] | None:
    """Host and path of a repository, alike for `https://`, `ssh://` and `user@host:path`; None for no address."""
    if match := _SCP.match(url):
        host, path = match["host"], match["path"]
    else:
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        host, path = parts.hostname or "", unquote(parts.path)
    path = path.strip("/").removesuffix(".git").lower()
    return (host.lower(), path) if host and path else None
