"""The server in numbers, as Prometheus reads them. They are counted elsewhere, as plain ones, and put together here."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.http.connections import Connections
from app.http.kept import KeptAnswers
from app.http.record import Record
from app.registry.health import Examination
from app.registry.model import SyncState
from app.registry.registry import Registry
from app.stores.timings import BOUNDS, Histogram, Timings

PREFIX = "ml_registry_"
PARTS = ("access", "cache", "catalogue", "objects", "projects", "queue", "remotes")
Samples: TypeAlias = Iterable[tuple[Sequence[str], float]]
Taken: TypeAlias = Iterable[tuple[Sequence[str], Histogram]]


class Metrics(Collector):
    """Reads what others counted. Any thread may."""

    def __init__(
        self,
        registry: Registry,
        examination: Examination,
        record: Record,
        connections: Connections,
        kept: KeptAnswers | None,
        timings: Timings,
    ) -> None:
        self._registry = registry
        self._examination = examination
        self._record = record
        self._connections = connections
        self._kept = kept
        self._timings = timings

    def collect(self) -> Iterator[Metric]:
        """Every metric; `docs/operate.md` says what each is good for."""
        yield gauge("build_info", "The version that runs.", ["version"], [([__version__], 1)])
        yield from self._requests()
        yield from self._answers()
        yield from self._stores()
        yield from self._projects()
        yield from self._queues()
        wrong = self._examination.health().degraded
        found = [([part], float(part in wrong)) for part in PARTS]
        yield gauge("degraded", "1 for each part of the server that does not work as it should.", ["part"], found)

    def _requests(self) -> Iterator[Metric]:
        record = self._record
        requests = [([route, str(status)], count) for (route, status), count in list(record.requests.items())]
        yield counter("requests", "Requests and sockets that have ended.", ["route", "status"], requests)
        operations = list(record.operations.items())
        yield counter("operations", "GraphQL operations that have ended.", ["kind", "operation", "code"], operations)
        taken = [([kind], one) for kind, one in list(record.answered.items())]
        yield histogram("operation_seconds", "How long GraphQL operations took.", ["kind"], taken)
        yield gauge("connections", "Sockets and streams that are open.", [], [([], len(self._connections))])

    def _answers(self) -> Iterator[Metric]:
        kept = self._kept
        hits = [(["kept"], kept.hits), (["computed"], kept.misses)] if kept else []
        yield counter("answers", "Answers to queries, kept from before or computed.", ["source"], hits)
        manifests = [([source], count) for source, count in self._registry.manifests.found.items()]
        yield counter("manifests", "Manifests looked up, by where they were found.", ["source"], manifests)

    def _stores(self) -> Iterator[Metric]:
        named = ["store", "operation"]
        took = list(self._timings.took.items())
        yield histogram("store_seconds", "How long stores took to answer.", named, took)
        failed = list(self._timings.failed.items())
        yield counter("store_failures", "Exchanges in which a store failed.", named, failed)

    def _projects(self) -> Iterator[Metric]:
        now, count = datetime.now(UTC), {(kind, state): 0 for kind in ("hosted", "remote") for state in SyncState}
        lag = {"hosted": 0.0, "remote": 0.0}
        for project in list(self._registry.catalogue.projects.values()):
            kind, status = "remote" if project.remote_url else "hosted", self._registry.sync.status(project)
            count[kind, status.state] += 1
            if status.synced_at:
                lag[kind] = max(lag[kind], (now - status.synced_at).total_seconds())
        states = [([kind, state.value.lower()], number) for (kind, state), number in count.items()]
        yield gauge("projects", "Projects by where they lie and how they stand to Git.", ["kind", "state"], states)
        lags = [([kind], seconds) for kind, seconds in lag.items()]
        yield gauge("sync_lag_seconds", "Since the project that waits longest was looked at.", ["kind"], lags)

    def _queues(self) -> Iterator[Metric]:
        registry = self._registry
        depths = {
            "writers": registry.lanes.waiting,
            "threads": registry.offload.waiting,
            "pushes": registry.pushes.landing if registry.pushes else 0,
        }
        found = [([name], depth) for name, depth in depths.items()]
        yield gauge("queue_depth", "What waits for its turn inside the server.", ["queue"], found)
        publisher = registry.publisher
        events, seconds = (publisher.waiting, publisher.waits()) if publisher else (0, 0.0)
        yield gauge("publisher_waiting_events", "Events read that the queue has not accepted.", [], [([], events)])
        yield gauge("publisher_lag_seconds", "For how long events have waited.", [], [([], seconds)])


def gauge(name: str, said: str, labels: Sequence[str], samples: Samples) -> Metric:
    """A number that goes up and down."""
    family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def counter(name: str, said: str, labels: Sequence[str], samples: Samples) -> Metric:
    """A number that only grows; its name ends in `_total`."""
    family = CounterMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def histogram(name: str, said: str, labels: Sequence[str], taken: Taken) -> Metric:
    """How many took how long."""
    family = HistogramMetricFamily(PREFIX + name, said, labels=labels)
    for values, one in taken:
        counts = list(accumulate(one.buckets))
        bounds = [*map(str, BOUNDS), "+Inf"]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), one.seconds)
    return family
