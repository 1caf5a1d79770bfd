"""The page about performance: it shows what was measured, beside what is wanted."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.support.server import ROOT

FIGURES: dict[str, Any] = json.loads((ROOT / "bench" / "reads.json").read_text())
PAGE = (ROOT / "docs" / "performance.md").read_text()
FLOOR, P99 = "Requests a second, as a multiple of the floor's", "The floor's p99, as a multiple of this server's"
COMMITS = "Requests a second while others commit, as a multiple of those without"
MLFLOW = "Beside MLflow: times as many requests a second, and times less processor time a request"
WANTED = {
    FLOOR: {
        "one artifact, distinct": 1.5,
        "one artifact, computed": 1.5,
        "one artifact, strong": 1.0,
        "page of 100, computed": 0.6,
        "page of 100, repeated": 2.0,
        "page of 100, not modified": 3.0,
        "nested, computed": 0.25,
        "nested, repeated": 2.0,
    },
    COMMITS: {"one artifact, distinct, others commit": 0.8, "page of 100, repeated, others commit": 0.8},
    MLFLOW: {
        "one artifact, distinct, beside get a version, requests": 20.0,
        "one artifact, distinct, beside get a version, processor time": 50.0,
        "page of 100, computed, beside search 100, requests": 20.0,
        "page of 100, computed, beside search 100, processor time": 50.0,
    },
}
TARGETS = [(table, name, wanted) for table, rows in WANTED.items() for name, wanted in rows.items()]


def test_the_page_has_the_figures_that_were_measured() -> None:
    subprocess.run([sys.executable, ROOT / "bench" / "report.py", "--check"], check=True)


@pytest.mark.parametrize(("table", "name", "wanted"), TARGETS)
def test_every_target_is_measured_and_on_the_page(table: str, name: str, wanted: float) -> None:
    (found,) = [row for title, row in FIGURES["ratios"][table].items() if title.partition(":")[0] == name]
    assert found["wanted"] == wanted
    section = PAGE.partition(f"### {table}\n")[2].partition("\n### ")[0]
    (line,) = re.findall(rf"^\| {re.escape(name)}(?:: [^|]*)? \|.*", section, re.MULTILINE)
    assert line.endswith(f"| {wanted:g} or more |")


def test_the_tail_of_every_read_is_to_be_half_of_the_floors() -> None:
    assert FIGURES["ratios"][P99].keys() == FIGURES["ratios"][FLOOR].keys()
    assert {row["wanted"] for row in FIGURES["ratios"][P99].values()} == {2.0}


def test_the_page_says_where_the_time_goes() -> None:
    _, _, told = PAGE.partition("## Where the time goes\n")
    assert len(told) > 1000
