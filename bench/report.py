"""Writes the figures in `reads.json`, which is what `reads.py --json` prints, into docs/performance.md.

They go between the two markers of the page; what stands around them is written by hand. With `--check` nothing is
written, and the exit status says whether the page has these figures.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "bench" / "reads.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: bench/report.py -->\n", "<!-- end of figures -->\n"

Table = list[list[str]]


def told(figures: dict[str, Any]) -> str:
    """Everything between the markers."""
    parts = [_measured(figures["measured"])]
    for title, ratios in figures["ratios"].items():
        if ratios:
            parts += [
                f"### {title}",
                _table(["", "median", "rounds", "wanted"], [_ratio(*one) for one in ratios.items()]),
            ]
    if stages := figures["stages"]:
        rows = [
            [name, *(f"{load[name] * 100:.0f}" for load in stages.values())] for name in next(iter(stages.values()))
        ]
        parts += ["### What the process does, in percent of its time", _table(["", *stages], rows)]
    head = ["", "requests/s", "p50 ms", "p99 ms", "processor µs a request"]
    parts += ["### As measured", _table(head, [_read(*one) for one in figures["reads"].items()])]
    return "\n\n".join(parts)


def _measured(how: dict[str, Any]) -> str:
    beside = f" Beside it {how['mlflow']}." if how["mlflow"] else ""
    return (
        f"Measured on {how['date']} on {how['cores']} cores ({how['processor']}) that servers, cache and client share, "
        f"with Python {how['python']}.{beside} The load: {how['load']}, {how['connections']} connections, "
        f"{how['rounds']} rounds of {how['seconds']} s for each line."
    )


def _table(head: list[str], rows: Table) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def _ratio(name: str, found: dict[str, float]) -> list[str]:
    wanted = f"{found['wanted']:g} or more" if "wanted" in found else ""
    return [name, _number(found["median"]), f"{_number(found['least'])} to {_number(found['most'])}", wanted]


def _read(name: str, found: dict[str, float]) -> list[str]:
    return [name, *(_number(found[column]) for column in ("per_second", "p50_ms", "p99_ms", "processor_us"))]


def _number(value: float) -> str:
    """Three digits that count, or all those before the point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    asked = parser.parse_args()
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n{told(json.loads(FIGURES.read_text()))}\n\n{END}{after}"
    if asked.check:
        sys.exit(f"{PAGE.name} has other figures: run bench/report.py" if made != page else 0)
    PAGE.write_text(made)


if __name__ == "__main__":
    main()
