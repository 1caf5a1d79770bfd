"""A server whose people sign in with an issuer: what its tokens open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import eventually
from tests.support.cli import run
from tests.support.git import clone, git, push_file
from tests.support.issuer import AUDIENCE, Issuer, issuing
from tests.support.server import Server, running

POLICY = b"""
grants:
  - {who: ["user:ada@example.org"], role: admin, projects: ["*"]}
  - {who: ["group:search"], role: reader, projects: ["search/*"]}
"""
NAMES = "{ projects { nodes { name } } }"
CREATE = 'mutation { createProject(input: {name: "search/ranker"}) { __typename } }'
ADA = {"email": "ada@example.org", "email_verified": True, "name": "Ada"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a project of Ada's, which the group of search may read."""
    root = tmp_path_factory.mktemp("oidc")
    settings = {"REGISTRY_OIDC_ISSUER": issuer.url, "REGISTRY_OIDC_AUDIENCE": AUDIENCE}
    with running(root / "var", "--no-demo", **settings) as server:
        push_file(clone(server.data_dir / "catalog.git", root / "tree"), "access.yml", POLICY)
        eventually(lambda: ask(server, CREATE, issuer.token(**ADA)).get("data"))
        yield server


def ask(server: Server, query: str, token: str | None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer: dict[str, Any] = server.client.post("/graphql", json={"query": query}, headers=headers).json()
    return answer


def code(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


def test_whoever_the_issuer_knows_sees_what_their_groups_may(server: Server, issuer: Issuer) -> None:
    seen = [{"name": "search/ranker"}]
    assert ask(server, NAMES, issuer.token(groups=["search"]))["data"]["projects"]["nodes"] == seen
    assert ask(server, NAMES, issuer.token(groups=["ads"]))["data"]["projects"]["nodes"] == []


def test_nobody_else_comes_in(server: Server, issuer: Issuer) -> None:
    assert code(ask(server, NAMES, None)) == "UNAUTHENTICATED"
    assert code(ask(server, NAMES, issuer.token(aud="mlflow", **ADA))) == "UNAUTHENTICATED"
    assert code(ask(server, NAMES, "mlr_" + "x" * 43)) == "UNAUTHENTICATED"


def test_commits_are_by_the_person_who_signed_in(server: Server, issuer: Issuer) -> None:
    put = (
        'mutation { commitArtifacts(input: {project: "search/ranker", changes: [{put: {name: "x"}}]}) { __typename } }'
    )
    assert ask(server, put, issuer.token(**ADA))["data"]["commitArtifacts"]["__typename"] == "CommitArtifactsSuccess"
    assert git("log", "-1", "--format=%an <%ae>", "main", at=server.git("search/ranker")) == "Ada <ada@example.org>"


def test_git_takes_the_token_as_a_password(server: Server, issuer: Issuer, tmp_path: Path) -> None:
    address = server.url.replace("://", f"://any:{issuer.token(groups=['search'])}@")
    git("clone", "--quiet", f"{address}/git/search/ranker", tmp_path / "ranker")
    assert (tmp_path / "ranker" / ".git").is_dir()


def test_the_command_line_takes_it_from_the_environment(server: Server, issuer: Issuer) -> None:
    ran = run(server.url, "ls", "--json", ML_REGISTRY_TOKEN=issuer.token(groups=["search"]))
    assert [one["name"] for one in ran.json] == ["search/ranker"]
    assert run(server.url, "ls", ML_REGISTRY_TOKEN=issuer.token(aud="mlflow")).code == 1
