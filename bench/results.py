"""What the rounds of `reads.py` come to: medians, and ratios of neighbours in the same round beside what is wanted."""

import os
import platform
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from common import ratio, show_ratios, show_series
from load import Figures, source

WANTED = {
    ("one artifact", "distinct"): 1.5,
    ("one artifact", "computed"): 1.5,
    ("one artifact", "strong"): 1.0,
    ("page of 100", "computed"): 0.6,
    ("page of 100", "repeated"): 2.0,
    ("page of 100", "not modified"): 3.0,
    ("nested", "computed"): 0.25,
    ("nested", "repeated"): 2.0,
}
"""Answers a second of one worker of the registry, as a multiple of the floor's: so much or more."""
WANTED_P99 = 2.0  # the floor's p99 as a multiple of ours
WANTED_BESIDE_COMMITS = 0.8  # of what it is without
WANTED_MLFLOW = 20.0  # times its answers a second
WANTED_MLFLOW_PROCESSOR = 50.0  # its processor time an answer as a multiple of ours
BESIDE_MLFLOW = {"one artifact": "distinct", "page of 100": "computed"}
"""What of ours MLflow is compared with."""
OTHERS_COMMIT = ", others commit"

FLOOR, REGISTRY, STOCK, MLFLOW = "floor", "registry", "stock Strawberry", "MLflow"

Rounds = dict["Load", list[Figures]]
Ratio = dict[str, float]


class Load(NamedTuple):
    """What is asked of which server: `workers` processes of it share the load."""

    server: str
    shape: str
    kind: str
    workers: int = 1

    @property
    def others_commit(self) -> bool:
        """Whether somebody else commits meanwhile."""
        return self.kind.endswith(OTHERS_COMMIT)

    @property
    def title(self) -> str:
        """What it is called where the server is known."""
        return f"{self.shape}, {self.kind}"

    @property
    def label(self) -> str:
        """What it is called among all."""
        workers = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{self.server}: {self.title}{workers}"


def figures_of(rounds: Rounds, asked: Namespace, mlflow: str) -> dict[str, Any]:
    """Everything that is told: how it was measured, the medians of each load, and the ratios."""
    return {
        "measured": {
            "date": datetime.now(UTC).date().isoformat(),
            "cores": os.cpu_count(),
            "processor": _processor(),
            "python": platform.python_version(),
            "load": source(),
            "mlflow": mlflow,
            **{name: getattr(asked, name) for name in ("seconds", "rounds", "connections")},
        },
        "reads": {one.label: _short(_summary(found)) for one, found in rounds.items()},
        "ratios": {title: {name: _short(one) for name, one in found(rounds)} for title, found in TABLES.items()},
    }


def _short(figures: Figures) -> Figures:
    """No more digits than were measured."""
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def _processor() -> str:
    """What the machine calls it."""
    told = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    return told.strip("\t :") or platform.machine()


def _summary(found: list[Figures]) -> Figures:
    rates = _rates(found)
    medians = {name: median(one[name] for one in found) for name in ("p50_ms", "p99_ms", "processor_us", "commits")}
    return {"per_second": median(rates), "least": min(rates), "most": max(rates), **medians}


def _rates(found: list[Figures]) -> list[float]:
    return [one["answers"] / one["seconds"] for one in found]


def _values(found: list[Figures], name: str) -> list[float]:
    return [one[name] for one in found]


def _wanted(found: Ratio, wanted: float | None) -> Ratio:
    return found if wanted is None else {**found, "wanted": wanted}


def _floor_of(one: Load) -> Load:
    return Load(FLOOR, one.shape, "GET", one.workers)


def _throughput(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.server == REGISTRY and one.workers == 1:
            floor = rounds[_floor_of(one)]
            yield one.title, _wanted(ratio(_rates(found), _rates(floor)), WANTED.get((one.shape, one.kind)))


def _tail(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.server == REGISTRY and one.workers == 1:
            floor = rounds[_floor_of(one)]
            yield one.title, _wanted(ratio(_values(floor, "p99_ms"), _values(found, "p99_ms")), WANTED_P99)


def _beside_commits(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.others_commit:
            calm = rounds[one._replace(kind=one.kind.removesuffix(OTHERS_COMMIT))]
            commits = f"{median(_values(found, 'commits')):.0f} a second"
            yield f"{one.title}: {commits}", _wanted(ratio(_rates(found), _rates(calm)), WANTED_BESIDE_COMMITS)


def _beside_mlflow(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.server == MLFLOW:
            kind = BESIDE_MLFLOW[one.shape]
            ours = rounds[Load(REGISTRY, one.shape, kind)]
            title = f"{one.shape}, {kind}, beside {one.kind}"
            yield f"{title}, requests", _wanted(ratio(_rates(ours), _rates(found)), WANTED_MLFLOW)
            spent, theirs = _values(ours, "processor_us"), _values(found, "processor_us")
            yield f"{title}, processor time", _wanted(ratio(theirs, spent), WANTED_MLFLOW_PROCESSOR)


def _beside_stock(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.server == STOCK and one.workers == 1:
            yield one.title, ratio(_rates(found), _rates(rounds[_floor_of(one)]))


def _two_workers(rounds: Rounds) -> Iterator[tuple[str, Ratio]]:
    for one, found in rounds.items():
        if one.workers > 1:
            alone = rounds[one._replace(workers=1)]
            yield f"{one.server}: {one.title}", ratio(_rates(found), _rates(alone))


TABLES: dict[str, Callable[[Rounds], Iterator[tuple[str, Ratio]]]] = {
    "Requests a second, as a multiple of the floor's": _throughput,
    "The floor's p99, as a multiple of this server's": _tail,
    "Requests a second while others commit, as a multiple of those without": _beside_commits,
    "Beside MLflow: times as many requests a second, and times less processor time a request": _beside_mlflow,
    "Stock Strawberry: requests a second, as a multiple of the floor's": _beside_stock,
    "Two workers: requests a second, as a multiple of those of one": _two_workers,
}


def show_figures(figures: dict[str, Any]) -> None:
    """All of it as tables."""
    print(", ".join(f"{name} {value}" for name, value in figures["measured"].items()))
    for title, ratios in figures["ratios"].items():
        print(f"\n{title}")
        show_ratios(ratios)
    print()
    show_series(figures["reads"], "requests")
    for name, shares in figures["stages"].items():
        print(f"\n{name}: " + ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items()))
