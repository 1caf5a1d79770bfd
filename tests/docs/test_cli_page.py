"""The page about the command line: its examples, run, print what it shows."""

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.support.cli import run
from tests.support.server import ROOT, Server, running

PAGE = (ROOT / "docs" / "cli.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = re.findall(r"^\$ ml-registry ([^\n]*)\n(.*?)(?=^\$ |\Z)", "\n".join(BLOCKS), re.MULTILINE | re.DOTALL)
COMMIT = re.compile(r"\b[0-9a-f]{12}\b")
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo project alone."""
    with running(tmp_path_factory.mktemp("page") / "var") as server:
        yield server


@pytest.fixture(scope="module")
def cursor(server: Server) -> str:
    """What the page calls CURSOR: behind the first event there ever was, when the demo project was made."""
    events = '{ project(name: "demo") { events(first: 1) { pageInfo { endCursor } } } }'
    cursor: str = server.ask(events)["project"]["events"]["pageInfo"]["endCursor"]
    return cursor


def still(text: str) -> str:
    """The text without what differs from run to run."""
    return MOMENT.sub("<when>", COMMIT.sub("<commit>", text)).strip()


def test_the_page_has_an_example_of_every_reading_command() -> None:
    assert {words.split()[0] for words, _ in EXAMPLES} == {"ls", "show", "log", "diff", "watch"}


@pytest.mark.parametrize(("words", "shown"), EXAMPLES)
def test_an_example_prints_what_the_page_shows(words: str, shown: str, server: Server, cursor: str) -> None:
    ran = run(server.url, *shlex.split(words.replace("CURSOR", cursor)))
    assert ran.err == ""
    assert still(ran.out) == still(shown)
