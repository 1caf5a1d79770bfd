"""The page about the past: every query on it is answered."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server import ROOT, Server, running

PAGE = (ROOT / "docs" / "history.md").read_text()
QUERIES = re.findall(r"^```graphql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo project alone."""
    with running(tmp_path_factory.mktemp("page") / "var") as server:
        yield server


def nulls(value: Any, path: str = "") -> Iterator[str]:
    """Where an answer has nothing to say."""
    if value is None or value == []:
        yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nulls(below, f"{path}/{key}")


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_on_the_page_is_answered(query: str, server: Server) -> None:
    allowed = ("/before", "/after", "/problems", "/endCursor")
    assert [path for path in nulls(server.ask(query)) if not path.endswith(allowed)] == []


def test_the_page_has_a_query_for_every_question() -> None:
    asked = ["artifact(", "lastChange", "history(", "comparison(", "commit(at", "restoreArtifact"]
    assert [word for word in asked if not any(word in query for query in QUERIES)] == []
