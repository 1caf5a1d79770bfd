"""A day on which everybody means harm: every input has one answer, and those who mean none do not notice."""

import json
from collections.abc import Iterator

import pytest

from tests.support.api import new_project
from tests.support.hostile.day import Target
from tests.support.hostile.run import Record, allowed, hostile_day
from tests.support.server import running

pytestmark = pytest.mark.slow

SECRET = "the secret of the hooks"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("hostile")
    with (
        running(root / "var", REGISTRY_HOOK_SECRET=SECRET) as server,
        running(root / "gate", "--no-demo", REGISTRY_SIGN_IN="true") as gate,
    ):
        yield Target(server, gate, new_project(server, "hostile/target"), SECRET)


@pytest.fixture(scope="module")
def record(target: Target) -> Record:
    return hostile_day(target)


def is_fault(line: str) -> bool:
    """Whether a line of the log tells of a fault of the server's own; all but the greeting are JSON."""
    said = json.loads(line) if line.startswith("{") else {}
    return said.get("level") in {"ERROR", "CRITICAL"} or said.get("status", 0) >= 500 or line.startswith("Traceback")


def test_a_fault_is_known_by_its_line() -> None:
    assert is_fault('{"level":"ERROR","message":"request x failed unexpectedly"}')
    assert is_fault('{"level":"INFO","status":500}')
    assert not is_fault('{"level":"INFO","status":422}')


def test_every_hostile_input_gets_the_one_answer_that_is_right(record: Record) -> None:
    assert record.problems == []
    assert record.inputs > 250


def test_the_server_is_the_one_it_was_and_blames_itself_for_nothing(record: Record, target: Target) -> None:
    assert record.inputs
    for server in (target.server, target.gate):
        assert server.process.poll() is None
        assert [line for line in server.log.read_text().splitlines() if is_fault(line)] == []


def test_no_hostile_input_holds_up_the_server(record: Record) -> None:
    assert record.stalls == []


def test_normal_traffic_goes_on(record: Record) -> None:
    assert record.failures == []
    assert record.ratio >= 0.7, record.ratios


def test_memory_is_back_where_it_was(record: Record) -> None:
    assert record.after <= allowed(record.before), f"{record.before >> 20} MiB before, {record.after >> 20} MiB after"
