"""Runs a command for exactly as long as the process that asked for it lives: `supervise.py <parent pid> <command…>`.

Ends the command when standard input closes or the parent is gone, however it went: a closed pipe and a changed
parent are seen on every Unix, while a signal on the parent's death is Linux only and fires when a *thread* ends.
Starts the command again when it dies by itself, unless it could not live for a second. Needs the standard library only.
"""

import os
import select
import subprocess
import sys
import time

LOOK_EVERY = 0.5  # seconds
GRACE = 3.0  # seconds between asking to go and making go


def main() -> int:
    """The command's exit status, 0 when it was ended from outside."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    while True:
        started = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:  # noqa: S603 - the parent's own command
            while child.poll() is None and wanted(parent, LOOK_EVERY):
                pass
            end(child)
        if not wanted(parent, 0):
            return 0
        if time.monotonic() - started < 1.0:
            return child.returncode or 1


def wanted(parent: int, seconds: float) -> bool:
    """Whether the parent is there and holds the pipe; waits up to `seconds` for it to be let go."""
    return not select.select([sys.stdin], [], [], seconds)[0] and os.getppid() == parent


def end(child: subprocess.Popen[bytes]) -> None:
    """Asks the child to go, then makes it go. Nothing happens to one that has ended."""
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main())
