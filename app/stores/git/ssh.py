"""The road to a repository over SSH: the `ssh` program, which asks nobody anything and trusts known hosts only."""

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dulwich.errors import HangupException

from app.stores.errors import RemoteRefusedError, RemoteUnavailableError, RepositoryNotFoundError, StoreError
from app.stores.git.address import Address
from app.stores.git.transport import Patience, Reader, Service, UnreachableError

PORTION = 1 << 16  # bytes read at once
MOST_WORDS = 4096  # bytes of what ssh complains
LAST_WORDS = 2.0  # seconds for ssh to say why it ended
DENIED = re.compile(r"permission denied|access denied|not authori[sz]ed", re.IGNORECASE)
NO_REPOSITORY = re.compile(
    r"not appear to be a git repository|repository .*not (be )?found|could not be found", re.IGNORECASE
)
FILE = re.compile(r"(?<![^\s'\"(])/[^\s'\",:)]+")  # of this server too, which is nobody's business
log = logging.getLogger("ml_registry.git")


class SshTransport:
    """The repository at `address`, with the key in the file `key` or those the user of this process has."""

    def __init__(self, address: Address, patience: Patience, key: Path | None, known_hosts: Path | None) -> None:
        self._address = address
        self._patience = patience
        self._key = key
        self._known_hosts = known_hosts

    @contextlib.contextmanager
    def talk(self, service: Service) -> Iterator["_SshTalk"]:
        """See Transport.talk."""
        ours, theirs = socket.socketpair()
        with ours, theirs, tempfile.TemporaryFile() as complaints:
            process = self._start(service, theirs, complaints)
            theirs.close()
            ours.settimeout(self._patience.silence)
            talk = _SshTalk(ours)
            try:
                yield talk
            except TimeoutError as error:
                raise self._away(talk, f"nothing for {self._patience.silence:g} s") from error
            except (OSError, HangupException) as error:
                raise self._ended(talk, process, complaints) from error
            finally:
                ours.close()
                _end(process)

    def _start(self, service: Service, their_end: socket.socket, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - the ssh found on the PATH; the address was checked part by part
                [*self._command(), f"{service} {_quoted(self._address.path)}"],
                stdin=their_end.fileno(),
                stdout=their_end.fileno(),
                stderr=complaints,
                start_new_session=True,
            )
        except OSError as error:
            raise StoreError(f"The ssh program cannot be started ({error.strerror}). Install it.") from error

    def _command(self) -> list[str]:
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ClearAllForwardings": "yes",
            "ConnectTimeout": f"{max(1, round(self._patience.connect))}",
            "SetEnv": "GIT_PROTOCOL=version=2",
        }
        if self._key is not None:
            settings |= {"IdentityFile": _spelled(self._key), "IdentitiesOnly": "yes"}
        if self._known_hosts is not None:
            settings["UserKnownHostsFile"] = _spelled(self._known_hosts)
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        user = ["-l", self._address.user] if self._address.user else []
        return ["ssh", "-x", "-T", *options, *user, "-p", str(self._address.port), "--", self._address.host]

    def _ended(self, talk: "_SshTalk", process: subprocess.Popen[bytes], complaints: IO[bytes]) -> StoreError:
        """Why ssh, or what it started there, ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS)
        complaints.seek(0)
        said = complaints.read(MOST_WORDS).decode("utf-8", "replace")
        log.info("ssh to %s ended: %r", self._address, said)
        words = FILE.sub("…", "".join(letter if letter.isprintable() else "\n" for letter in said).strip())
        host, last = self._address.host, words.rpartition("\n")[2]
        if DENIED.search(words):
            return RemoteRefusedError(f"{host} does not let us in ({last}). Look at the key it should know.", words)
        if NO_REPOSITORY.search(words):
            return RepositoryNotFoundError(f"{host} has no repository at {self._address}, or hides it from us.")
        return self._away(talk, last or f"it ended with {process.returncode}")

    def _away(self, talk: "_SshTalk", why: str) -> RemoteUnavailableError:
        kind = RemoteUnavailableError if talk.asked else UnreachableError
        return kind(f"{self._address} cannot be reached ({why}).")


class _SshTalk:
    """See Talk. `asked` is whether a request may have reached the server."""

    greets = True

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.asked = False

    def greeting(self, most: int) -> Reader:
        """See Talk.greeting."""
        return self._reader(most)

    def ask(self, request: bytes, most: int) -> Reader:
        """See Talk.ask."""
        self.asked = True
        for start in range(0, len(request), PORTION):  # in portions, because the silence allowed is that of each
            self._end.sendall(request[start : start + PORTION])
        return self._reader(most)

    def _reader(self, most: int) -> Reader:
        return Reader(lambda: self._end.recv(PORTION), most)


def _quoted(path: str) -> str:
    """A path for the shell over there. `/~ada/x` lies in that user's home, as Git has it."""
    shown = path.removeprefix("/") if path.startswith("/~") else path
    return "'" + shown.replace("'", "'\\''") + "'"


def _spelled(path: Path) -> str:
    """A file for an option of ssh, which would fill in what stands behind `%` and split at spaces."""
    return '"' + str(path).replace("%", "%%") + '"'


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let ssh end by itself, which it does when nobody speaks to it any more, or end it."""
    try:
        process.wait(LAST_WORDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
