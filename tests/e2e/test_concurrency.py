"""Many writers at once, through the API and with git: nobody loses a change, nobody has to try again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.support.api import Work, eventually
from tests.support.git import clone, git, push_file


def commits(work: Work) -> list[str]:
    """The ids of the commits of `main`, oldest first."""
    return git("rev-list", "--reverse", "main", at=work.repository).split()


def test_two_writers_of_different_entries_both_succeed_without_trying_again(work: Work) -> None:
    base = work.put("shared", type="model")
    together = Barrier(2)

    def write(name: str) -> str:
        together.wait()
        done = work.commit({"put": {"name": name, "type": "model"}}, baseCommit=base)
        return str(done["__typename"])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, ["one", "two"])) == ["CommitArtifactsSuccess"] * 2
    assert work.names() == ["one", "shared", "two"]
    assert len(commits(work)) == 4


def test_an_entry_changed_since_base_commit_is_a_conflict_that_shows_what_moved(work: Work) -> None:
    base = work.put("model", type="model", metadata={"f1": 0.1})
    head = work.put("model", type="model", metadata={"f1": 0.2})
    work.put("other", type="model")
    refused = work.commit({"patch": {"name": "model", "patch": {"f1": 0.3}}}, baseCommit=base)
    assert refused["__typename"] == "ConflictError"
    assert refused["code"] == "CONFLICT"
    assert refused["head"] == work.head() != head
    assert refused["changes"] == [
        {"name": "model", "kind": "MODIFIED", "fields": [{"path": "/f1", "before": 0.1, "after": 0.2}]}
    ]
    assert "0.3" not in work.text()


def test_of_two_racing_changes_of_one_entry_on_one_base_exactly_one_is_a_conflict(work: Work) -> None:
    base = work.put("model", metadata={"n": 0})
    together = Barrier(4)

    def write(number: int) -> str:
        together.wait()
        done = work.commit({"patch": {"name": "model", "patch": {"n": number}}}, baseCommit=base)
        return str(done["__typename"])

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(write, range(1, 5)))
    assert outcomes == ["CommitArtifactsSuccess", *["ConflictError"] * 3]


def test_the_same_idempotency_key_sent_by_eight_writers_at_once_is_one_commit(work: Work) -> None:
    before = len(commits(work))

    def write(_: int) -> str:
        done = work.commit({"put": {"name": "once", "type": "model"}}, idempotencyKey="the-one")
        return str(done["commit"]["oid"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(8)))) == 1
    assert len(commits(work)) == before + 1


@pytest.mark.slow
def test_400_commits_of_eight_writers_on_one_branch_are_400_commits_in_git(work: Work) -> None:
    before = commits(work)

    def write(writer: int) -> list[str]:
        return [work.put(f"writer-{writer}/entry-{number}", type="model") for number in range(50)]

    with ThreadPoolExecutor(8) as pool:
        acknowledged = [oid for oids in pool.map(write, range(8)) for oid in oids]
    made = commits(work)[len(before) :]
    assert len(made) == 400
    assert set(made) == set(acknowledged)
    assert work.text().count("writer-") == 400
    assert git("fsck", "--strict", at=work.repository) == ""


@pytest.mark.slow
def test_programs_and_a_person_who_pushes_with_git_write_to_one_branch_without_losing_anything(
    work: Work, tmp_path: Path
) -> None:
    work.put("first", type="model")
    tree = clone(work.repository, tmp_path / "tree")

    def program(writer: int) -> list[str]:
        return [work.put(f"writer-{writer}/entry-{number}", type="model") for number in range(20)]

    def person(number: int) -> str:
        def pushed() -> str:
            git("pull", "--quiet", "--rebase", at=tree)
            text = (tree / "artifacts.yml").read_bytes() + f"by-hand-{number}:\n  type: dataset\n".encode()
            try:
                return push_file(tree, "artifacts.yml", text)
            except AssertionError:  # a program was faster: a person pulls, and writes it again
                git("reset", "--quiet", "--hard", "@{upstream}", at=tree)
                return ""

        return eventually(pushed, 20)

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(program, writer) for writer in range(4)]
        by_hand = [person(number) for number in range(5)]
        acknowledged = [oid for one in writing for oid in one.result()] + by_hand
    assert set(acknowledged) <= set(commits(work))
    eventually(lambda: work.artifact("by-hand-4"), 3)
    text = work.text()
    assert text.count("writer-") == 80
    assert text.count("by-hand-") == 5
    assert git("fsck", "--strict", at=work.repository) == ""
