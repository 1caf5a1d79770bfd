"""The command that sends events again, beside a server that runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Work, eventually, new_project
from tests.support.cli import Ran, run
from tests.support.queue import CREDENTIALS, Sqs, sqs
from tests.support.server import Server, running


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with sqs() as endpoint:
        yield endpoint


@pytest.fixture
def queue(endpoint: str) -> Iterator[Sqs]:
    made = Sqs(endpoint)
    yield made
    made.client.close()


@pytest.fixture(scope="module")
def work(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Work, list[dict[str, Any]]]]:
    """A project with some commits on two branches, and the messages that were sent of it."""
    queue = Sqs(endpoint)
    environment = {**CREDENTIALS, "REGISTRY_QUEUE_URL": queue.url()}
    with running(tmp_path_factory.mktemp("replay") / "var", "--no-demo", **environment) as server:
        work = new_project(server)
        work.put("one", type="m")
        work.mutate("createBranch", project=work.name, name="next")
        work.put("two", type="m")
        work.put("aside", type="m", branch="next")
        new_project(server).put("other", type="m")
        heard: list[dict[str, Any]] = []
        eventually(lambda: heard.extend(queue.bodies()) or len(heard) == 7)
        queue.client.close()
        yield work, [one for one in heard if one["data"]["projectName"] == work.name]


def again(server: Server, queue: Sqs | None, *words: str) -> Ran:
    variables = {**CREDENTIALS, **({"REGISTRY_QUEUE_URL": queue.url()} if queue else {})}
    return run(server.url, "replay", "--data-dir", str(server.data_dir), *words, **variables)


def of(heard: list[dict[str, Any]], artifact: str | None) -> dict[str, Any]:
    return next(one for one in heard if one["data"]["artifactName"] == artifact)


def by_id(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(messages, key=lambda one: one["id"])


def test_what_was_sent_since_a_commit_is_sent_again_word_for_word(
    work: tuple[Work, list[dict[str, Any]]], queue: Sqs
) -> None:
    project, heard = work
    since = of(heard, "two")["data"]["commit"]
    ran = again(project.server, queue, "--project", project.name, "--since", since)
    assert (ran.code, ran.out, ran.err) == (0, "Sent 2 events again.\n", "")
    assert by_id(queue.bodies()) == by_id([of(heard, "two"), of(heard, "aside")])


def test_the_first_digits_and_one_branch_will_do(work: tuple[Work, list[dict[str, Any]]], queue: Sqs) -> None:
    project, heard = work
    since = of(heard, "one")["data"]["commit"][:12]
    ran = again(project.server, queue, "--project", project.name, "--since", since, "--branch", "main")
    assert ran.out == "Sent 2 events again.\n"
    assert [one["data"]["artifactName"] for one in queue.bodies()] == ["one", "two"]


def test_a_commit_no_event_names_is_said_to_be_none(work: tuple[Work, list[dict[str, Any]]], queue: Sqs) -> None:
    project, _ = work
    ran = again(project.server, queue, "--project", project.name, "--since", "0" * 40)
    assert ran.code == 1
    assert f"ml-registry log {project.name}" in ran.err
    assert queue.received() == []


@pytest.mark.parametrize("since", ["", "main", "abc", "A" * 40])
def test_what_is_no_commit_is_refused(work: tuple[Work, list[dict[str, Any]]], queue: Sqs, since: str) -> None:
    project, _ = work
    assert again(project.server, queue, "--project", project.name, "--since", since).code == 2


def test_without_a_queue_it_says_how_to_name_one(work: tuple[Work, list[dict[str, Any]]]) -> None:
    project, _ = work
    ran = again(project.server, None, "--project", project.name, "--since", "0" * 40)
    assert ran.code == 2
    assert "REGISTRY_QUEUE_URL" in ran.err


def test_where_no_registry_is_it_says_so_and_makes_none(queue: Sqs, tmp_path: Path) -> None:
    options = ["--data-dir", str(tmp_path / "none"), "--project", "a", "--since", "0" * 40]
    ran = run("http://127.0.0.1", "replay", *options, **CREDENTIALS, REGISTRY_QUEUE_URL=queue.url())
    assert ran.code == 3
    assert "There is no registry in" in ran.err
    assert not (tmp_path / "none").exists()
