"""A Git host that takes a connection and says nothing holds up what has to do with it, and nothing else."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import eventually, new_project
from tests.support.elsewhere import Elsewhere, There, elsewhere, head
from tests.support.git import push_file
from tests.support.githttp import bare

pytestmark = pytest.mark.slow

SELDOM = {"REGISTRY_REMOTE_SECONDS": "3600"}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What stands in the block takes no longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def in_background(call: Callable[[], Any]) -> threading.Thread:
    """Somebody else who asks, and may wait."""

    def run() -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - the server may be gone by then
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_projects_elsewhere_are_made_and_written_while_another_host_is_silent(there: Elsewhere, tmp_path: Path) -> None:
    there.repository()
    with elsewhere(tmp_path / "second") as second:
        second.repository()
        with there.credentials.open("a") as file:
            file.write(second.credentials.read_text())
        with there.server(REGISTRY_REMOTE_SECONDS="1") as server:
            silent = there.project(server)
            well = There(
                server, new_project(server, remoteUrl=second.host.url("models")).name, second.host.root / "models.git"
            )
            hosted = new_project(server)
            silent.put("before")
            there.host.moods.every = "silent"
            in_background(lambda: silent.put("never"))
            time.sleep(2.5)
            for number in range(5):
                with within(3):
                    hosted.put(f"entry-{number}")
                    assert hosted.mutate("createBranch", project=hosted.name, name=f"branch-{number}")["branch"]
                    well.put(f"entry-{number}")
                    assert silent.names() == ["before", "churn"]
            there.host.moods.every = ""


def test_a_push_to_a_host_that_is_well_is_seen_in_time_beside_many_silent_projects(
    there: Elsewhere, tmp_path: Path
) -> None:
    with elsewhere(tmp_path / "second") as second:
        second.repository()
        with there.credentials.open("a") as file:
            file.write(second.credentials.read_text())
        with there.server(REGISTRY_REMOTE_SECONDS="1") as server:
            for number in range(40):
                there.repository(f"models-{number}", manifest=None)
                there.project(server, f"models-{number}")
            well = There(
                server, new_project(server, remoteUrl=second.host.url("models")).name, second.host.root / "models.git"
            )
            there.host.moods.every = "silent"
            time.sleep(3)
            push_file(second.tree(), "artifacts.yml", b"seen: {}\n")
            eventually(lambda: well.names() == ["seen"], 6)
            there.host.moods.every = ""


def test_a_commit_is_answered_once_the_host_has_it_though_a_look_there_takes_long(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        work.put("a")
        time.sleep(2)
        there.host.moods.listed = lambda: time.sleep(8)
        in_background(lambda: work.mutate("syncProject", project=work.name))
        time.sleep(0.5)
        with within(4):
            oid = work.put("b")
        assert head(work.bare) == oid
        assert work.names() == ["a", "b", "churn"]


def test_what_was_acknowledged_is_served_though_nobody_answers_any_more(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        push_file(there.tree(), "artifacts.yml", b"person: {}\n")

        def away() -> None:
            there.host.moods.every = "500"

        there.host.moods.after = away
        done = work.commit({"put": {"name": "api"}})
        if done["__typename"] == "CommitArtifactsSuccess":
            assert work.names() == ["api", "person"]
        there.host.moods.every = ""


def test_a_stop_does_not_wait_for_a_host_that_does_not_answer(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        work.put("a")
        there.host.moods.every = "silent"
        in_background(lambda: work.put("never"))
        time.sleep(1)
        with within(12):
            assert server.stop(signal.SIGTERM, 30) == 0


def test_a_project_that_the_catalogue_moves_to_another_repository_is_written_there(there: Elsewhere) -> None:
    old, new = there.repository("old"), there.repository("new")
    bare(there.host.root, "catalog")
    with there.server(**there.shared, REGISTRY_REMOTE_SECONDS="0.5") as server:
        work = there.project(server, "old")
        work.put("first")
        before = head(old)
        tree = there.tree("catalog")
        text = (tree / "projects.yml").read_text().replace("/old.git", "/new.git")
        push_file(tree, "projects.yml", text.encode())
        eventually(lambda: work.names() == ["churn"])
        oid = work.put("second")
        assert head(new) == oid
        assert head(old) == before


def test_a_project_that_leaves_the_catalogue_is_gone_and_back_when_its_line_is_back(there: Elsewhere) -> None:
    there.repository()
    bare(there.host.root, "catalog")
    with there.server(**there.shared, REGISTRY_REMOTE_SECONDS="0.5") as server:
        work = there.project(server)
        tree = there.tree("catalog")
        text = (tree / "projects.yml").read_bytes()
        push_file(tree, "projects.yml", b"")
        asked = "query($p: String!) { project(name: $p) { name } }"
        eventually(lambda: server.ask(asked, p=work.name)["project"] is None)
        assert work.commit({"put": {"name": "a"}})["__typename"] == "NotFoundError"
        push_file(tree, "projects.yml", text)
        eventually(lambda: server.ask(asked, p=work.name)["project"])
        work.put("a")
