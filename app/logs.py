"""The log on standard error: a JSON object a line, or plain lines where a person looks on.

Whatever somebody sent is escaped, so that it can neither begin a line of its own nor talk to a terminal; and what has
the shape of a secret is taken out, should it ever get here.
"""

import asyncio
import atexit
import json
import logging
import re
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

from app.registry.trail import current

TOGETHER_SECONDS = 0.05
SECRETS = re.compile(
    r"(?<=://)[^/?#\s'\"]*@"  # a user and a password in a URL
    r"|mlr_[\w-]{8,}"  # an API token
    r"|\beyJ[\w.-]{8,}"  # a JWT, whole or not: to look for its dots from each place it may begin at takes seconds
    r"|(?i:\b(?:bearer|basic)\s+)[\w+/=.~-]{12,}"
    r"|(?i:(?<=[?&])(?:signature|x-amz-[a-z-]+|x-goog-[a-z-]+|token|upload)=)[^&\s'\"]+"
)
HIDDEN = "[hidden]"
WORD = re.compile(r"[\w./:@+*-]+\Z")


def configure_logging(level: int = logging.INFO) -> None:
    """Write to standard error."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line says them
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if on_terminal() else JsonLines())
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it runs is said by the greeting


def without_secrets(text: str) -> str:
    """The text, with what has the shape of a secret taken out."""
    return SECRETS.sub(HIDDEN, text)


def on_terminal() -> bool:
    """Whether a person reads along."""
    return sys.stderr.isatty()


def as_json(value: Any) -> str:
    """JSON in printable ASCII alone."""
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")


def printable(text: str) -> str:
    """The text on one line, with escapes for all that a terminal would not simply show."""
    return text if text.isprintable() else "".join(one if one.isprintable() else as_json(one)[1:-1] for one in text)


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`; `request_id` where there is a request, `traceback` of a fault."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        said: dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if request_id := current().id:
            said["request_id"] = request_id
        said |= {name: _clean(value) for name, value in _fields(record).items()}
        if record.exc_info:
            said["traceback"] = without_secrets(self.formatException(record.exc_info))
        return as_json(said)


class PlainLines(logging.Formatter):
    """The same for people: the lines of a traceback are set in, and so told from those of the log."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, and its traceback below."""
        more = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        text = f"{moment(record.created)} {record.levelname:<7} {record.name}  {record.getMessage()}{more}"
        lines = [printable(without_secrets(text))]
        if record.exc_info:
            below = without_secrets(self.formatException(record.exc_info)).splitlines()
            lines += [f"    {printable(line)}" for line in below]
        return "\n".join(lines)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says in fields of its own: `extra={"fields": {…}}`."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _clean(value: Any) -> Any:
    return without_secrets(value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    """A value that cannot be taken for several."""
    return str(value) if WORD.match(str(value)) else as_json(str(value))


class Lines:
    """Lines of the log that are written together: one by one they take longer than most requests."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        atexit.register(self._write)  # what waits when the server stops

    def add(self, line: str) -> None:
        """Write a line, which is whole and escaped, within TOGETHER_SECONDS."""
        if not self._lines:
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError, ValueError):  # a full disk or a closed terminal: nobody can be told
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()


def moment(at: float) -> str:
    """A time, in seconds since 1970, as the log writes it."""
    return f"{_second(int(at))}.{int(at % 1 * 1000):03}Z"


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(256)
def quoted(text: str) -> str:
    """A text in JSON: one of the few that come again and again."""
    return as_json(without_secrets(text))
