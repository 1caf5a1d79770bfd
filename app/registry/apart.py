"""Work in other processes: what keeps a processor busy for long runs there, and this one goes on serving meanwhile.

Run as a program, this is such a process. It ends when its pipe closes, which the system sees to however the server
ends; it knows nothing that would be lost with it.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from queue import LifoQueue
from typing import Any, ParamSpec, TypeVar

from app.stores.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")

PROCESSES = 2
TRIES = 3


class WorkLostError(StoreError):
    """The processes that were to do something could not be started, or were killed over it."""


class Apart:
    """A few processes, each started when the others are busy. Any thread may ask; more than those wait their turn."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._idle: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(processes):
            self._idle.put(None)

    def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Blocking. Do `work`, a function of a module, and answer what it answers; it raises nothing.

        Where its process is killed, another one does it again. Raises WorkLostError.
        """
        process = self._idle.get()
        try:
            for _ in range(TRIES):
                try:
                    process = process or _Process()
                    answer: T = process.do(work, args, kwargs)
                except (EOFError, OSError) as error:
                    lost = error
                    if process:
                        process.end()
                    process = None
                else:
                    return answer
        finally:
            self._idle.put(process)
        raise WorkLostError(f"{work.__name__} was given to {TRIES} processes and all were lost ({lost!r}).") from lost

    def close(self) -> None:
        """End the processes. Nobody asks any more."""
        while not self._idle.empty():
            if process := self._idle.get():
                process.end()


class _Process:
    """One of the processes, and this end of the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this very module
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the server
            )

    def do(self, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Raises EOFError or OSError when the process is gone."""
        self._pipe.send((work, args, kwargs))
        return self._pipe.recv()

    def end(self) -> None:
        """Whatever it does."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Do what comes through the pipe, until it closes."""
    gc.disable()  # what one piece of work leaves behind is looked for when it is done
    with Connection(int(sys.argv[1])) as pipe, suppress(EOFError, ConnectionError):
        while True:
            work, args, kwargs = pipe.recv()
            pipe.send(work(*args, **kwargs))
            del work, args, kwargs
            gc.collect()


if __name__ == "__main__":
    main()
