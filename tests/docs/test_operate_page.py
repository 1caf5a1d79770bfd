"""What `docs/operate.md` lists is what a server has, and the reverse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.http.metrics import PARTS
from tests.support.server import Server, running

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("operate") / "var") as server:
        server.ask("{ __typename }")
        yield server


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_metric_is_in_the_docs_and_the_reverse(server: Server) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Metrics"), re.MULTILINE)
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    had = {one.name + "_total" if one.type == "counter" else one.name for one in families}
    assert sorted(listed) == sorted(had)


def test_every_label_of_a_metric_is_in_the_docs(server: Server) -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", section("Metrics"), re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for family in text_string_to_metric_families(server.client.get("/metrics").text):
        name = family.name + "_total" if family.type == "counter" else family.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == listed[name], sample


def test_every_part_that_may_be_degraded_is_in_the_docs_and_the_reverse() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", section("Probes"), re.MULTILINE)) == PARTS
