"""Where to go on: the cursor of the last event that was handled."""

import os
from pathlib import Path

import typer


class Bookmark:
    """The cursor to go on from; in a file, if there is one, from where it outlives this program."""

    def __init__(self, since: str | None, file: Path | None) -> None:
        self._file = file
        self.cursor = _read(file) if file and file.exists() else since
        self.honoured = False
        """Whether the server gave this cursor or has gone on from it."""

    def move(self, cursor: str) -> None:
        """Go on from here. The file holds a whole cursor at any time."""
        self.cursor, self.honoured = cursor, True
        if self._file is None:
            return
        beside = self._file.with_name(f"{self._file.name}.new")
        try:
            with beside.open("w") as file:
                file.write(f"{cursor}\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
        except OSError as error:
            raise _unusable(str(error)) from error


def _read(file: Path) -> str:
    try:
        cursor = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise _unusable(str(error)) from error
    if not cursor:
        raise _unusable("It holds no cursor. Take it away to begin anew.")
    return cursor


def _unusable(why: str) -> typer.BadParameter:
    return typer.BadParameter(why, param_hint="--cursor-file")
