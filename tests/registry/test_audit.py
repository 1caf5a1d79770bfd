"""The audit has a line for every write and every presigned request: who, what, where, and what came of it."""

import logging
from typing import Any

import pytest

from app.registry.errors import NotFoundError
from app.registry.trail import Trail, follow
from tests.support.domain import Desk


@pytest.fixture(autouse=True)
def _asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ml_registry.audit")


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.name == "ml_registry.audit"]  # type: ignore[attr-defined]


async def test_a_commit_is_one_line_with_who_where_and_the_commit(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    follow(Trail("r-1", "token:ci"))
    commit = await desk.put("model")
    assert said(caplog)[-1] == {
        "act": "commit",
        "who": "token:ci",
        "outcome": "done",
        "project": desk.project.name,
        "branch": "main",
        "commit": commit,
    }


async def test_a_refused_write_is_a_line_with_the_code_of_the_refusal(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotFoundError):
        await desk.delete("nothing")
    assert said(caplog)[-1]["outcome"] == "NOT_FOUND"


async def test_a_change_of_nothing_names_no_commit(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.put("model", type="m")
    await desk.put("model", type="m")
    assert "commit" not in said(caplog)[-1]


async def test_a_branch_made_and_deleted_is_a_line_each(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    commit = await desk.put("model")
    caplog.clear()
    await desk.registry.branching.create(desk.project, "next", commit)
    await desk.registry.branching.delete(desk.project, "next", None)
    acts = [(one["act"], one["branch"], one["commit"], one["outcome"]) for one in said(caplog)]
    assert acts == [("create branch", "next", commit, "done"), ("delete branch", "next", commit, "done")]
