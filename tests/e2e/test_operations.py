"""What operators see of a real server: whether it can serve, its numbers, its traces, its audit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import document, eventually, new_project
from tests.support.collector import Collector, attributes, collecting
from tests.support.git import clone, push_file
from tests.support.server import Server, free_port, running

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Server]:
    """A server that sends its traces somewhere."""
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with running(tmp_path_factory.mktemp("watch") / "var", **told) as server:
        yield server


def audit(server: Server) -> list[dict[str, Any]]:
    lines = [line for line in server.log.read_text().splitlines() if '"logger":"ml_registry.audit"' in line]
    return [json.loads(line) for line in lines]


def samples(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_operations_are_counted_by_kind_name_and_code(server: Server) -> None:
    for _ in range(3):
        server.ask("query Counted { registry { version } }")
    server.post("query Counted { nothing }")
    server.post('query Counted { project(name: "x", what: 1) { name } }')
    found = samples(server)
    labels = (("code", "OK"), ("kind", "query"), ("operation", "Counted"))
    assert found["ml_registry_operations_total", labels] == 3
    assert found["ml_registry_requests_total", (("route", "graphql"), ("status", "422"))] >= 2


def test_no_more_than_so_many_names_are_counted_apart(server: Server) -> None:
    for number in range(120):
        server.ask(f"query N{number} {{ __typename }}")
    names = {dict(labels)["operation"] for (name, labels) in samples(server) if name == "ml_registry_operations_total"}
    assert len(names) <= 101
    assert "other" in names


def test_answers_that_are_kept_are_counted(server: Server) -> None:
    before = samples(server)["ml_registry_answers_total", (("source", "kept"),)]
    for _ in range(5):
        server.ask("query Kept { registry { limits { pageSize } } }")
    assert samples(server)["ml_registry_answers_total", (("source", "kept"),)] >= before + 3


def test_a_write_is_timed_at_git_and_the_cache(server: Server) -> None:
    labels = (("operation", "write"), ("store", "git"))
    before = samples(server)["ml_registry_store_seconds_count", labels]
    new_project(server).put("model")
    found = samples(server)
    assert found["ml_registry_store_seconds_count", labels] > before
    assert found["ml_registry_store_seconds_count", (("operation", "move"), ("store", "cache"))] > 0


def test_readyz_names_no_project(server: Server) -> None:
    work = new_project(server)
    answer = server.client.get("/readyz")
    assert answer.json()["status"] in {"ready", "degraded"}
    assert work.name not in answer.text


def test_a_request_is_a_span_of_its_caller_s_trace_with_what_it_took_of_the_stores_below(
    server: Server, collector: Collector
) -> None:
    work = new_project(server)
    value = {"project": work.name, "changes": [{"put": {"name": "secret-name"}}]}
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    body = {
        "query": f"mutation Put{document('commitArtifacts').removeprefix('mutation')}",
        "variables": {"input": value},
    }
    answer = server.client.post("/graphql", json=body, headers=headers)
    assert answer.status_code == 200, answer.text

    def trace() -> dict[str, Any]:
        spans = {span.name: span for span in collector.spans() if span.trace_id.hex() == TRACE}
        return spans if {"mutation Put", "git write", "cache move"} <= spans.keys() else {}

    spans = eventually(trace)
    request = spans["mutation Put"]
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request)["http.response.status_code"] == 200
    assert attributes(request)["ml_registry.request_id"] == answer.headers["x-request-id"]
    for name in ("git write", "cache move"):
        assert spans[name].parent_span_id == request.span_id
    sent = b"".join(collector.bodies)
    assert b"secret-name" not in sent
    assert b"changed" not in sent


def test_what_is_done_for_no_request_makes_no_spans(server: Server, collector: Collector) -> None:
    server.ask("query Awaited { __typename }")
    eventually(lambda: [span for span in collector.spans() if span.name == "query Awaited"])
    assert all(span.parent_span_id for span in collector.spans() if span.name.startswith(("git ", "cache ")))


def test_a_push_is_a_line_of_the_audit_for_every_ref(server: Server, tmp_path: Path) -> None:
    work = new_project(server)
    person = clone(f"{server.url}/git/{work.name}", tmp_path / "person")
    push_file(person, "artifacts.yml", b"a: {type: m}\n")
    (line,) = eventually(lambda: [one for one in audit(server) if one["act"] == "push" and one["project"] == work.name])
    assert (line["ref"], line["outcome"], line["who"]) == ("refs/heads/main", "done", "ada@example.org")
    assert len(line["commit"]) == len(line["request_id"]) + 8


def test_a_refused_host_is_a_line_of_the_audit(server: Server) -> None:
    headers = {"host": "evil.example", "x-request-id": "refused-1"}
    assert server.client.get("/", headers=headers).status_code in {403, 421}
    (line,) = eventually(lambda: [one for one in audit(server) if one.get("request_id") == "refused-1"])
    assert (line["act"], line["outcome"]) == ("refusal", "FORBIDDEN")


def test_who_commits_through_the_api_stands_in_the_audit_with_the_id_of_the_request(server: Server) -> None:
    work = new_project(server)
    commit = work.put("model")
    (line,) = eventually(lambda: [one for one in audit(server) if one.get("commit") == commit])
    assert (line["act"], line["who"], line["branch"]) == ("commit", "ada@example.org", "main")
    said = f'"request_id":"{line["request_id"]}","method":"POST"'
    eventually(lambda: said in server.log.read_text())


def test_without_its_cache_a_server_is_degraded_and_serves(tmp_path: Path) -> None:
    nobody = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    with running(tmp_path / "var", "--no-demo", REGISTRY_REDIS_URL=nobody) as server:
        answer = server.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert list(answer.json()["degraded"]) == ["cache"]
        assert samples(server)["ml_registry_degraded", (("part", "cache"),)] == 1
