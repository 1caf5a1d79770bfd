"""Webhooks as GitLab, GitHub, Gitea and Forgejo send them, and everything that only looks like one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
from starlette.applications import Starlette

from app.http.hooks import hook_routes
from app.registry.model import Project
from tests.support.server import Server, running

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HTTPS = "https://git.example.org/ml/churn.git"
SSH = "git@git.example.org:ml/churn.git"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}

GITLAB_PUSH = {
    "object_kind": "push",
    "event_name": "push",
    "before": "0" * 40,
    "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
    "ref": "refs/heads/main",
    "project": {
        "id": 15,
        "name": "churn",
        "git_ssh_url": SSH,
        "git_http_url": HTTPS,
        "path_with_namespace": "ml/churn",
    },
    "repository": {"name": "churn", "url": SSH, "git_http_url": HTTPS, "git_ssh_url": SSH, "visibility_level": 0},
    "commits": [
        {"id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "message": "Retrain", "modified": ["artifacts.yml"]}
    ],
    "total_commits_count": 1,
}
GITHUB_PUSH = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "0" * 40,
    "created": False,
    "deleted": True,
    "repository": {
        "id": 186853002,
        "full_name": "ml/churn",
        "html_url": "https://git.example.org/ml/churn",
        "git_url": "git://git.example.org/ml/churn.git",
        "ssh_url": SSH,
        "clone_url": HTTPS,
    },
    "commits": [],
    "head_commit": None,
}
GITEA_PUSH = {
    "ref": "refs/heads/main",
    "before": "28e1879d029cb852e4844d9c718537df08844e03",
    "after": "bffeb74224043ba2feb48d137756c8a9331c449a",
    "repository": {"id": 140, "full_name": "ml/churn", "ssh_url": SSH, "clone_url": HTTPS, "default_branch": "main"},
    "pusher": {"login": "ada"},
}

Sign = Callable[[bytes, str], dict[str, str]]


def hexed(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def by_github(body: bytes, secret: str) -> dict[str, str]:
    return {"x-github-event": "push", "x-hub-signature-256": f"sha256={hexed(body, secret)}"}


def by_gitea(body: bytes, secret: str) -> dict[str, str]:
    return {"x-gitea-event": "push", "x-gitea-signature": hexed(body, secret)}


def by_forgejo(body: bytes, secret: str) -> dict[str, str]:
    return {"x-forgejo-event": "push", "x-forgejo-signature": hexed(body, secret)}


def by_gitlab(body: bytes, secret: str) -> dict[str, str]:
    signed = b"%s.%s.%s" % (b"f5e5f430", b"1790000000", body)
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    signatures = f"v1,{base64.b64encode(bytes(32)).decode()} v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": "f5e5f430", "webhook-timestamp": "1790000000", "webhook-signature": signatures}


def by_old_gitlab(_body: bytes, secret: str) -> dict[str, str]:
    return {"x-gitlab-event": "Push Hook", "x-gitlab-token": secret}


SENDERS = {
    "github": ("github", by_github, GITHUB_PUSH),
    "gitea": ("gitea", by_gitea, GITEA_PUSH),
    "gitea as GitHub": ("gitea", by_github, GITEA_PUSH),
    "forgejo": ("gitea", by_forgejo, GITEA_PUSH),
    "gitlab": ("gitlab", by_gitlab, GITLAB_PUSH),
    "gitlab before 19": ("gitlab", by_old_gitlab, GITLAB_PUSH),
}
each_sender = pytest.mark.parametrize(("host", "sign", "payload"), SENDERS.values(), ids=SENDERS)
each_signer = pytest.mark.parametrize(
    ("host", "sign"), [pair[:2] for name, pair in SENDERS.items() if "before" not in name]
)


class FakeRegistry:
    """Two projects, one of them hosted here, and a memory of what was hinted."""

    def __init__(self) -> None:
        self.hinted: list[set[str]] = []
        self.projects = {"churn": Project("churn", remote_url=HTTPS), "team/own": Project("team/own")}

    @property
    def catalogue(self) -> dict[str, Project]:
        return self.projects

    def hint(self, urls: Collection[str]) -> int:
        self.hinted.append(set(urls))
        return sum(project.remote_url in urls for project in self.projects.values())


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
async def client(registry: FakeRegistry) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=hook_routes(SECRET))
    app.state.registry = registry
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as client:
        yield client


def refused(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert error["message"].endswith(".")
    assert SECRET not in answer.text
    return answer.status_code, error["extensions"]["code"]


@each_sender
async def test_a_push_hints_the_urls_of_its_repository(
    client: httpx.AsyncClient, registry: FakeRegistry, host: str, sign: Sign, payload: dict[str, object]
) -> None:
    body = json.dumps(payload).encode()
    answer = await client.post(f"/hooks/{host}", content=body, headers=JSON | sign(body, SECRET))
    assert (answer.status_code, answer.json()) == (202, {"projects": 1})
    assert registry.hinted == [{HTTPS, SSH}]


@each_sender
async def test_a_request_signed_with_another_secret_is_a_401(
    client: httpx.AsyncClient, registry: FakeRegistry, host: str, sign: Sign, payload: dict[str, object]
) -> None:
    body = json.dumps(payload).encode()
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    answer = await client.post(f"/hooks/{host}", content=body, headers=JSON | sign(body, other))
    assert refused(answer) == (401, "UNAUTHENTICATED")
    assert registry.hinted == []


@each_signer
async def test_one_altered_byte_is_a_401(client: httpx.AsyncClient, host: str, sign: Sign) -> None:
    body = b'{"repository": {}}'
    answer = await client.post(f"/hooks/{host}", content=body + b" ", headers=JSON | sign(body, SECRET))
    assert refused(answer) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
async def test_what_gitlab_signs_beside_the_body_cannot_be_altered(client: httpx.AsyncClient, name: str) -> None:
    headers = JSON | by_gitlab(b"{}", SECRET)
    assert (await client.post("/hooks/gitlab", content=b"{}", headers=headers)).status_code == 202
    altered = await client.post("/hooks/gitlab", content=b"{}", headers=headers | {name: "1"})
    assert refused(altered) == (401, "UNAUTHENTICATED")


async def test_the_secret_itself_does_not_mend_a_signature_that_is_wrong(client: httpx.AsyncClient) -> None:
    headers = JSON | by_old_gitlab(b"{}", SECRET) | by_gitlab(b"[]", SECRET)
    assert refused(await client.post("/hooks/gitlab", content=b"{}", headers=headers)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("host", ["gitlab", "github", "gitea"])
@pytest.mark.parametrize("headers", [{}, {"x-gitlab-token": ""}, {"x-hub-signature-256": "sha256="}])
async def test_a_request_without_a_signature_is_a_401_before_it_is_parsed(
    client: httpx.AsyncClient, host: str, headers: dict[str, str]
) -> None:
    answer = await client.post(f"/hooks/{host}", content=b"not JSON", headers=JSON | headers)
    assert refused(answer) == (401, "UNAUTHENTICATED")


async def test_the_token_of_one_host_opens_no_other(client: httpx.AsyncClient) -> None:
    for host in ("github", "gitea"):
        answer = await client.post(f"/hooks/{host}", content=b"{}", headers=JSON | by_old_gitlab(b"{}", SECRET))
        assert refused(answer) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("secret", "host", "body", "headers"),
    [
        (
            "It's a Secret to Everybody",
            "github",
            b"Hello, World!",
            {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "gitlab",
            b'{"test": 2432232314}',
            {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "webhook-timestamp": "1614265330",
                "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            },
        ),
    ],
    ids=["GitHub", "Standard Webhooks"],
)
async def test_the_examples_the_schemes_are_published_with_pass(
    secret: str, host: str, body: bytes, headers: dict[str, str], registry: FakeRegistry
) -> None:
    app = Starlette(routes=hook_routes(secret))
    app.state.registry = registry
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as client:
        answer = await client.post(f"/hooks/{host}", content=body, headers=JSON | headers)
    assert answer.status_code == (400 if body == b"Hello, World!" else 202)


@pytest.mark.parametrize("secret", ["no signing token at all", "whsec_not base64", "whsec_=========="])
async def test_gitlab_can_sign_with_a_signing_token_alone(secret: str) -> None:
    digest = base64.b64encode(hmac.digest(b"", b"1.1.{}", "sha256")).decode()
    headers = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": f"v1,{digest}"}
    app = Starlette(routes=hook_routes(secret))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as client:
        answer = await client.post("/hooks/gitlab", content=b"{}", headers=JSON | headers)
    assert refused(answer) == (401, "UNAUTHENTICATED")


async def test_github_may_send_its_payload_as_a_form(client: httpx.AsyncClient, registry: FakeRegistry) -> None:
    body = f"payload={quote_plus(json.dumps(GITHUB_PUSH))}".encode()
    answer = await client.post("/hooks/github", content=body, headers=FORM | by_github(body, SECRET))
    assert (answer.status_code, answer.json()) == (202, {"projects": 1})
    assert registry.hinted == [{HTTPS, SSH}]


@pytest.mark.parametrize("body", [b"", b"other=1", b"payload=%FF", "payload=é".encode(), b"payload={"])
async def test_a_form_without_a_payload_that_can_be_read_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/hooks/github", content=body, headers=FORM | by_github(body, SECRET))
    assert refused(answer) == (400, "BAD_REQUEST")


async def test_a_ping_is_a_200_that_says_whether_the_repository_is_known(client: httpx.AsyncClient) -> None:
    ping = {"zen": "Design for failure.", "hook_id": 1, "hook": {"type": "Repository", "events": ["push"]}}
    for payload, known in ((ping, 0), (ping | {"repository": GITHUB_PUSH["repository"]}, 1)):
        body = json.dumps(payload).encode()
        headers = JSON | by_github(body, SECRET) | {"x-github-event": "ping"}
        answer = await client.post("/hooks/github", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"projects": known})


async def test_a_replay_is_a_hint_like_the_first(client: httpx.AsyncClient, registry: FakeRegistry) -> None:
    body = json.dumps(GITEA_PUSH).encode()
    for _ in range(3):
        answer = await client.post("/hooks/gitea", content=body, headers=JSON | by_gitea(body, SECRET))
        assert answer.json() == {"projects": 1}
    assert registry.hinted == [{HTTPS, SSH}] * 3


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"repository": None},
        {"repository": [HTTPS]},
        {"repository": {"clone_url": 7, "ssh_url": None, "url": HTTPS}},
        {"repository": {"clone_url": "https://git.example.org/other.git"}},
        {"event_name": "user_create", "username": "ada"},
    ],
)
async def test_a_payload_about_no_repository_we_know_is_accepted_for_no_project(
    client: httpx.AsyncClient, payload: dict[str, object]
) -> None:
    body = json.dumps(payload).encode()
    answer = await client.post("/hooks/gitlab", content=body, headers=JSON | by_gitlab(body, SECRET))
    assert (answer.status_code, answer.json()) == (202, {"projects": 0})


async def test_a_url_longer_than_any_is_not_looked_for(client: httpx.AsyncClient, registry: FakeRegistry) -> None:
    body = json.dumps({"repository": {"clone_url": HTTPS + "/" * 2048, "ssh_url": SSH}}).encode()
    await client.post("/hooks/gitlab", content=body, headers=JSON | by_gitlab(body, SECRET))
    assert registry.hinted == [{SSH}]


@pytest.mark.parametrize(("project", "hinted"), [("churn", {HTTPS}), ("team/own", set()), ("nobody/has", set())])
async def test_an_address_with_a_project_hints_that_one_whatever_the_payload_says(
    client: httpx.AsyncClient, registry: FakeRegistry, project: str, hinted: set[str]
) -> None:
    body = json.dumps({"repository": {"clone_url": "https://git.example.org/ml/renamed.git"}}).encode()
    answer = await client.post(f"/hooks/gitea/{project}", content=body, headers=JSON | by_gitea(body, SECRET))
    assert (answer.status_code, answer.json()) == (202, {"projects": len(hinted)})
    assert registry.hinted == [hinted]


@pytest.mark.parametrize(
    "body", [b"", b"ref=1", b"[]", b"null", b"1", b"\xff", b'"text"', b"[" * 100_000, b'{"a": NaN}']
)
async def test_a_signed_body_that_is_no_json_object_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/hooks/gitea", content=body, headers=JSON | by_gitea(body, SECRET))
    assert refused(answer) == (400, "BAD_REQUEST")


async def test_deep_json_is_a_400(client: httpx.AsyncClient) -> None:
    body = b'{"a":' * 1000 + b"1" + b"}" * 1000
    answer = await client.post("/hooks/gitea", content=body, headers=JSON | by_gitea(body, SECRET))
    assert refused(answer) == (400, "BAD_REQUEST")


async def test_a_body_of_ten_megabytes_is_a_413_however_well_it_is_signed(client: httpx.AsyncClient) -> None:
    body = b" " * 10_000_000
    answer = await client.post("/hooks/github", content=body, headers=JSON | by_github(body, SECRET))
    assert refused(answer) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("host", "media_type"), [("gitea", "application/x-www-form-urlencoded"), ("github", "text/plain")]
)
async def test_another_media_type_is_a_415(client: httpx.AsyncClient, host: str, media_type: str) -> None:
    headers = {"content-type": media_type} | by_github(b"{}", SECRET)
    assert refused(await client.post(f"/hooks/{host}", content=b"{}", headers=headers)) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_a_405(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/hooks/github")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_host_nobody_knows_is_a_404(client: httpx.AsyncClient) -> None:
    assert refused(await client.post("/hooks/bitbucket", content=b"{}", headers=JSON)) == (404, "NOT_FOUND")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real one that takes webhooks, known in public as registry.example.org."""
    settings = {"REGISTRY_HOOK_SECRET": SECRET, "REGISTRY_PUBLIC_URL": "https://registry.example.org"}
    with running(tmp_path_factory.mktemp("hooks") / "var", **settings) as server:
        yield server


def deliver(server: Server, payload: object, **headers: str) -> httpx.Response:
    body = json.dumps(payload).encode()
    sent = JSON | by_gitea(body, SECRET) | headers
    return server.client.post("/hooks/gitea", content=body, headers=sent)


def test_a_webhook_comes_in_by_the_public_name_and_by_no_other(server: Server) -> None:
    assert deliver(server, GITEA_PUSH, host="registry.example.org").json() == {"projects": 0}
    assert refused(deliver(server, GITEA_PUSH, host="other.example.org")) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "url", ["", "::", "http://[", "https://[::1/x.git", "git@", "\x00", "/etc/passwd", "x" * 500_000]
)
def test_a_url_that_is_none_hints_nothing(server: Server, url: str) -> None:
    answer = deliver(server, {"repository": {"clone_url": url}})
    assert (answer.status_code, answer.json()) == (202, {"projects": 0})


def test_the_largest_payload_is_taken(server: Server) -> None:
    commit = {"id": "a" * 40, "message": "Retrain", "added": [], "removed": [], "modified": ["artifacts.yml"]}
    payload = GITEA_PUSH | {"commits": [commit] * 7800}
    assert 1_000_000 < len(json.dumps(payload)) < 2**20
    assert deliver(server, payload).status_code == 202


def test_a_push_of_twenty_commits_is_answered_at_once(server: Server) -> None:
    payload = GITEA_PUSH | {"commits": [{"id": "a" * 40, "message": "Retrain " * 20}] * 20}
    took = []
    for _ in range(10):
        began = time.perf_counter()
        assert deliver(server, payload).status_code == 202
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


def test_without_a_secret_the_addresses_are_a_404_that_names_the_setting(shared_server: Server) -> None:
    for path in ("github", "gitea/churn", "nowhere"):
        answer = shared_server.client.post(f"/hooks/{path}", json={}, headers=by_github(b"{}", ""))
        assert refused(answer) == (404, "NOT_FOUND")
        assert "REGISTRY_HOOK_SECRET" in answer.text


def test_the_secret_is_never_logged(server: Server) -> None:
    deliver(server, GITEA_PUSH, **{"x-gitlab-token": SECRET})
    assert SECRET not in server.log.read_text()


def test_a_secret_of_a_few_letters_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="hook_secret: Value should have at least 16 items"),
        running(tmp_path / "var", REGISTRY_HOOK_SECRET="short"),
    ):
        pass
