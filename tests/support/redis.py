"""A Redis of a test's own, the way to it, and everything that can befall either."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.support.api import eventually
from tests.support.server import free_port

PASSWORD = "changed while nobody looked"
SLOW = 0.2
"""Seconds an answer may take and still be waited for."""
TOO_SLOW = 0.3


class Redis:
    """A server on a port of its own, in memory only, and the way a registry takes to it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.way = Way(self.port)
        self._folder = folder
        self.start()

    @property
    def url(self) -> str:
        """What a registry connects to: not the server itself, but the way to it."""
        return f"redis://127.0.0.1:{self.way.port}"

    def client(self, password: str | None = None) -> redis.Redis:
        """A client that goes straight there."""
        return redis.Redis(port=self.port, password=password, socket_timeout=5)

    def start(self) -> None:
        """Returns when it answers; it holds nothing."""
        found = next(iter(sorted(Path(sys.prefix).rglob("valkey-server"))), None) or shutil.which("redis-server")
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self.process = subprocess.Popen([str(found), *words], stdout=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        with closing(self.client()) as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End it as the system does when there is no memory left."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it, and the way to it."""
        self.way.close()
        self.kill()


class Way:
    """A port that leads to another one, slowly, to nowhere, or to somebody who answers nonsense."""

    def __init__(self, to: int) -> None:
        self.delay = 0.0
        self.answer: bytes | None = None
        self.open = self.alive = True
        self._to = to
        self._held: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """End every connection."""
        for one in list(self._held):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Lead nowhere, for good."""
        self._listening.close()
        self.hang_up()

    @contextmanager
    def being(self, **moods: Any) -> Iterator[None]:
        """With other moods for the time of a block, on new connections and old; afterwards there are new ones."""
        before = {name: getattr(self, name) for name in moods}
        self.__dict__.update(moods)
        if self.answer or not self.open:
            self.hang_up()
        try:
            yield
        finally:
            self.__dict__.update(before)
            self.hang_up()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                threading.Thread(target=self._lead, args=(here,), daemon=True).start()

    def _lead(self, here: socket.socket) -> None:
        with here, suppress(OSError):
            if not self.open:
                return
            with socket.create_connection(("127.0.0.1", self._to)) as there:
                self._held |= {here, there}
                back = threading.Thread(target=self._carry, args=(there, here), kwargs={"back": True}, daemon=True)
                back.start()
                self._carry(here, there, back=False)
                back.join()
                self._held -= {here, there}

    def _carry(self, one: socket.socket, other: socket.socket, *, back: bool) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if back:
                    time.sleep(self.delay)
                if not self.alive:
                    continue
                if self.answer is None:
                    other.sendall(data)
                elif not back:
                    one.sendall(self.answer)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


Fault = Callable[[Redis], AbstractContextManager[None]]


@contextmanager
def flushed(server: Redis) -> Iterator[None]:
    """Emptied once."""
    with closing(server.client()) as client:
        client.flushall()
        yield


@contextmanager
def flushed_over_and_over(server: Redis) -> Iterator[None]:
    """Emptied again and again."""
    done = threading.Event()

    def flush() -> None:
        with closing(server.client()) as client:
            while not done.wait(0.03):
                client.flushall()

    flushing = threading.Thread(target=flush)
    flushing.start()
    try:
        yield
    finally:
        done.set()
        flushing.join()


@contextmanager
def killed(server: Redis) -> Iterator[None]:
    """Killed, and started again with nothing in it."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def stopped(server: Redis) -> Iterator[None]:
    """Stands still."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@contextmanager
def locked(server: Redis) -> Iterator[None]:
    """Has another password than the registry knows."""
    with closing(server.client()) as client:
        client.config_set("requirepass", PASSWORD)
        _disconnect(client)
    try:
        yield
    finally:
        with closing(server.client(PASSWORD)) as client:
            client.config_set("requirepass", "")


@contextmanager
def forbidding(server: Redis) -> Iterator[None]:
    """Lets nobody write or run scripts."""
    with closing(server.client()) as client:
        client.execute_command("ACL", "SETUSER", "default", "-@write", "-@scripting")  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+@all")  # type: ignore[no-untyped-call]


@contextmanager
def full(server: Redis) -> Iterator[None]:
    """Has no memory left, and evicts nothing."""
    with closing(server.client()) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextmanager
def read_only(server: Redis) -> Iterator[None]:
    """Is a replica now, of a server nobody can reach."""
    with closing(server.client()) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


@contextmanager
def crowded(server: Redis) -> Iterator[None]:
    """Has as many clients as it takes."""
    with closing(server.client()) as client:
        before = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", "1")
        _disconnect(client)
        try:
            yield
        finally:
            client.config_set("maxclients", before)


@contextmanager
def damaged(server: Redis) -> Iterator[None]:
    """Has one bit flipped in every value: in a digit, a letter, a ticket, wherever."""
    with closing(server.client()) as client:
        for number, key in enumerate(sorted(client.keys("*"))):
            if client.type(key) == b"hash":
                for place, (field, value) in enumerate(sorted(client.hgetall(key).items())):
                    client.hset(key, field, _flipped(value, number + place))
            else:
                client.set(key, _flipped(client.get(key), number), keepttl=True)
        yield


@contextmanager
def far_ahead(server: Redis) -> Iterator[None]:
    """Has a ticket in every pointer, and as the last one, that nobody was ever handed."""
    with closing(server.client()) as client:
        for key in client.keys("*:pointers:*"):
            for field in client.hkeys(key):
                client.hset(key, field, b"99999999999999999=\xff\x00rubbish")
        for key in client.keys("*:tickets"):
            client.hset(key, "last", "99999999999999999")
        yield


@contextmanager
def mistyped(server: Redis) -> Iterator[None]:
    """Has a list under every key."""
    with closing(server.client()) as client:
        for key in client.keys("*"):
            client.delete(key)
            client.rpush(key, "what", "is", "this")
        yield


@contextmanager
def set_back(server: Redis) -> Iterator[None]:
    """Is an older copy of itself once it is back: a replica that lagged, or what was on the disk."""
    with closing(server.client()) as client:
        copies = {key: client.dump(key) for key in client.keys("*")}
    server.kill()
    try:
        yield
    finally:
        server.start()
        with closing(server.client()) as client:
            for key, copy in copies.items():
                client.restore(key, 0, copy, replace=True)  # type: ignore[no-untyped-call]


def _disconnect(client: redis.Redis) -> None:
    for kind in ("normal", "pubsub"):
        client.client_kill_filter(_type=kind, skipme=True)


def _flipped(value: bytes, place: int) -> bytes:
    place = place * 7 % len(value)
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


FAULTS: dict[str, Fault] = {
    "flushed": flushed,
    "flushed over and over": flushed_over_and_over,
    "killed": killed,
    "stopped": stopped,
    "set back": set_back,
    "locked": locked,
    "forbidding": forbidding,
    "full": full,
    "read only": read_only,
    "crowded": crowded,
    "damaged": damaged,
    "far ahead": far_ahead,
    "mistyped": mistyped,
    "slow": lambda server: server.way.being(delay=SLOW),
    "too slow": lambda server: server.way.being(delay=TOO_SLOW),
    "cut off": lambda server: server.way.being(open=False),
    "silent": lambda server: server.way.being(alive=False),
    "no Redis": lambda server: server.way.being(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "a number for all": lambda server: server.way.being(answer=b":7\r\n"),
    "fine for all": lambda server: server.way.being(answer=b"+OK\r\n"),
    "half an answer": lambda server: server.way.being(answer=b"$50\r\nab"),
    "lists for all": lambda server: server.way.being(answer=b"*2\r\n:7\r\n*1\r\n$-1\r\n"),
}
