"""Where answers are shown: tables and colours on a terminal, plain aligned text in a pipe.

What a server says is data: it is shown as it is, with every character that does not print written as an escape.
"""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import typer
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

NARROW = 72
"""Columns of a terminal below which a row of a table is shown as a block of lines."""
GAP = "  "


def literal(text: str, style: str = "") -> Text:
    """A server's text, to be shown and never obeyed: no markup, no control sequences."""
    return Text(printable(text), style)


def printable(text: str) -> str:
    r"""The text with characters that do not print as escapes: `\x1b`, `\n`, `\u202e`."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def write_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print the plain data as one JSON document, in ASCII: it is the same on every terminal and in every pipe."""
    json.dump(value, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


def json_line(value: BaseModel) -> str:
    """The same on one line, without its end."""
    return json.dumps(value, default=_plain)


def note(text: str) -> None:
    """Sentences beside the answer, on standard error."""
    for line in text.splitlines():
        typer.echo(printable(line), err=True)


def _plain(model: BaseModel) -> Any:
    return model.model_dump(by_alias=True, exclude_unset=True)


class Screen:
    """Standard output, as the terminal or the pipe it is."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 has not every character
        self._console = Console(highlight=False, markup=False, emoji=False)

    def line(self, text: Text, indent: int = 0) -> None:
        """A line; on a terminal it wraps below its own beginning."""
        if self._console.is_terminal:
            self._console.print(Padding(text, (0, 0, 0, indent), expand=False))
        else:
            self._write(" " * indent + text.plain)

    def table(self, columns: Sequence[str | Column], rows: Sequence[Sequence[Text]]) -> None:
        """A table; a row of it is a block of lines on a narrow terminal, and a line in a pipe."""
        titles = [column if isinstance(column, str) else str(column.header) for column in columns]
        if not self._console.is_terminal:
            self._aligned([titles, *([cell.plain for cell in row] for row in rows)])
        elif self._console.width < NARROW:
            for first, *rest in rows:
                self.line(first)
                self.facts(zip(titles[1:], rest, strict=True))
        else:
            folding = (Column(one, overflow="fold") if isinstance(one, str) else one.copy() for one in columns)
            table = Table(*folding, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
            for row in rows:
                table.add_row(*row)
            self._console.print(table)

    def facts(self, facts: Iterable[tuple[str, Text]]) -> None:
        """Titles and values below a heading; a value may have several lines, and an empty one is left out."""
        told = [(title, value) for title, value in facts if value.plain]
        if self._console.is_terminal:
            grid = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
            for title, value in told:
                grid.add_row(title, value)
            self._console.print(Padding(grid, (0, 0, 0, len(GAP)), expand=False))
        else:
            rows = [("", *pair) for title, value in told for pair in zip_longest((title,), value.plain.split("\n"))]
            self._aligned([[cell or "" for cell in row] for row in rows])

    def _aligned(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows with their cells in columns, whatever their width: nothing is cut off and nothing wraps."""
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
            self._write(GAP.join(cells).rstrip())

    def _write(self, line: str) -> None:
        self._console.file.write(line + "\n")
