"""No secret leaves a server: canaries go through all that it does, and are looked for in all that comes out."""

import base64
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from websockets.sync.client import connect

from tests.support import s3
from tests.support.api import announce, document, eventually, send
from tests.support.canaries import MARK, files
from tests.support.collector import Collector, collecting
from tests.support.git import git, push_file
from tests.support.githttp import bare, serving
from tests.support.queue import Sqs, sqs
from tests.support.redis import Redis
from tests.support.s3 import strict_s3
from tests.support.server import ROOT, Server, running

GIT, HOOK, SECRET, REDIS, BUCKET, URL, HEADER, INIT, VARIABLE, DOCUMENT = (
    f"{MARK}{name}-5d81f0c7a9e2b634"
    for name in ["git", "hook", "registry", "redis", "bucket", "url", "header", "init", "variable", "document"]
)
BODY = b"the bytes"
JWT = f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(f'{MARK}jwt-5d81f0c7a9e2b634'.encode()).decode()}.e30"


@dataclass
class Nest:
    """Everything a server touched, and every answer it gave."""

    server: Server
    root: Path
    redis: redis.Redis
    queue: Sqs
    collector: Collector
    answers: list[bytes] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def post(self, query: str, token: str, **variables: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"}
        answer = self.server.client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        self.answers.append(answer.content)
        data: dict[str, Any] = answer.json()
        return data

    def mutate(self, field: str, **members: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.post(document(field), self.secrets["token"], input=members)["data"][field]
        return found

    def refused(self, method: str, path: str, **headers: str) -> None:
        """A request whose answer may hold none of what was shown."""
        url = f"{self.server.url}{path}"
        answer = httpx.request(method, url, headers=headers, content=b"{}", trust_env=False)
        assert answer.status_code >= 400, answer.text
        self.answers.append(answer.content + str(answer.headers).encode())


def make_token(data_dir: Path) -> str:
    words = ["token", "create", "ci", "--role", "admin", "--project", "*", "--data-dir", str(data_dir)]
    run = [sys.executable, "-m", "app.cli", *words]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    root = tmp_path_factory.mktemp("nest")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setitem(s3.CREDENTIALS, "AWS_SECRET_ACCESS_KEY", BUCKET)
        cache = Redis(root)
        stack.callback(cache.stop)
        cache.client().config_set("requirepass", REDIS)
        host = stack.enter_context(serving(root / "host"))
        host.moods.password = GIT
        bare(root / "host", "models")
        credentials = root / "credentials"
        credentials.write_text(f"{host.base.replace('://', f'://ada:{GIT}@')}\n")
        queue, collector = Sqs(stack.enter_context(sqs())), stack.enter_context(collecting())
        settings = {
            "REGISTRY_SECRET": SECRET,
            "REGISTRY_HOOK_SECRET": HOOK,
            "REGISTRY_REDIS_URL": cache.url.replace("://", f"://:{REDIS}@"),
            "REGISTRY_OBJECTS_URL": stack.enter_context(strict_s3()).setting("team"),
            "REGISTRY_QUEUE_URL": queue.url(),
            "REGISTRY_GIT_CREDENTIALS": str(credentials),
            "REGISTRY_SIGN_IN": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={MARK}otlp-5d81f0c7a9e2b634",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with running(root / "var", "--no-demo", **settings, **s3.CREDENTIALS) as server:
            made = Nest(server, root, cache.client(REDIS), queue, collector)
            made.secrets["token"] = make_token(root / "var")
            eventually(lambda: "data" in made.post("{ __typename }", made.secrets["token"]))
            a_day(made, host.url("models"))
            made.answers += [server.client.get(path).content for path in ("/readyz", "/livez", "/metrics")]
            signed_in = {"authorization": f"Bearer {made.secrets['token']}"}
            made.answers.append(server.client.get("/metrics", headers=signed_in).content)
            yield made


def a_day(nest: Nest, remote: str) -> None:
    """Everything that has to do with a secret, gone well and gone wrong."""
    assert "project" in nest.mutate("createProject", name="team/here")
    assert "project" in nest.mutate("createProject", name="team/there", remoteUrl=remote)
    for url in (
        f"https://ada:{URL}@git.example.org/x.git",
        f"http://{URL}@[::1/x",
        f"https://git.example.org/?k={URL}",
    ):
        assert nest.mutate("createProject", name="team/wrong", remoteUrl=url)["code"]
    for project in ("team/here", "team/there"):
        assert nest.mutate("commitArtifacts", project=project, changes=[{"put": {"name": "a"}}])["commit"]
    bytes_go_around(nest)
    a_push(nest)
    nest.post(f'{{ project(name: "{DOCUMENT}") {{ name }} }}', nest.secrets["token"])
    nest.post("query Q($n: String!) { project(name: $n) { name } }", nest.secrets["token"], n=VARIABLE)
    for token in (f"mlr_{HEADER}", JWT, f"{nest.secrets['token']}x"):
        nest.post("{ __typename }", token)
    basic = base64.b64encode(f"any:mlr_{HEADER}".encode()).decode()
    for path in ("/git/team/here/info/refs?service=git-upload-pack", "/metrics"):
        for said in (f"Basic {basic}", f"Bearer mlr_{HEADER}", f"Digest {HEADER}"):
            nest.refused("GET", path, authorization=said)
    nest.refused("POST", "/hooks/github", **{"x-hub-signature-256": f"sha256={HEADER}"})
    nest.refused("GET", f"/objects/team/here/{'0' * 64}?signature={URL}")
    a_socket(nest)


def bytes_go_around(nest: Nest) -> None:
    (upload,) = nest.mutate("createUploads", project="team/here", objects=[announce(BODY)])["uploads"]
    assert send(upload, BODY).status_code == 200
    nest.secrets["upload"] = upload["id"].split(".")[-1]
    nest.secrets["put"] = upload["parts"][0]["url"].split("X-Amz-Signature=")[1].split("&")[0]
    nest.mutate("completeUpload", upload=upload["id"])
    put = {"put": {"name": "model", "object": announce(BODY)}}
    found = nest.mutate("commitArtifacts", project="team/here", changes=[put])["artifacts"][0]
    nest.secrets["get"] = found["object"]["download"]["url"].split("X-Amz-Signature=")[1].split("&")[0]


def a_push(nest: Nest) -> None:
    tree, token = nest.root / "tree", nest.secrets["token"]
    git("clone", "--quiet", f"{nest.server.url.replace('://', f'://any:{token}@')}/git/team/here", tree)
    git("config", "user.name", "Ada", at=tree)
    git("config", "user.email", "ada@example.org", at=tree)
    push_file(tree, "notes.md", b"by hand\n")


def a_socket(nest: Nest) -> None:
    address = f"{nest.server.url.replace('http', 'ws', 1)}/graphql"
    with connect(address, subprotocols=["graphql-transport-ws"], proxy=None) as socket:  # type: ignore[list-item]
        socket.send(
            f'{{"type": "connection_init", "payload": {{"authorization": "Bearer mlr_{INIT}", "x": "{INIT}"}}}}'
        )
        try:
            nest.answers.append(str(socket.recv(timeout=10)).encode())
        except Exception as error:  # noqa: BLE001 - however the socket is closed, what it says is an answer
            nest.answers.append(str(error).encode())


def known(nest: Nest) -> list[bytes]:
    """Every canary, as it is and as it is written in base64."""
    plain = [GIT, HOOK, SECRET, REDIS, BUCKET, URL, HEADER, INIT, VARIABLE, DOCUMENT, MARK, JWT.split(".")[1]]
    return [one.encode() for one in [*plain, *nest.secrets.values()]]


def hidden_in(nest: Nest, text: bytes, *allowed: str) -> list[bytes]:
    return [one for one in known(nest) if one in text and one.decode() not in allowed]


def test_the_log_holds_no_secret_no_document_and_no_variable(nest: Nest) -> None:
    eventually(lambda: '"act":"presign download"' in nest.server.log.read_text())
    assert not hidden_in(nest, nest.server.log.read_bytes())


def test_no_answer_holds_a_secret_but_the_links_that_were_asked_for(nest: Nest) -> None:
    own = {nest.secrets[name] for name in ("upload", "put", "get")}
    echoed = {DOCUMENT, VARIABLE, MARK}  # a caller's own words, where an error names what is not there
    for answer in nest.answers:
        assert not hidden_in(nest, answer, *own, *echoed), answer


def test_git_holds_no_secret(nest: Nest) -> None:
    data = nest.root / "var"
    for folder in (data / "git", data / "catalog.git", data / "mirrors"):
        for path, content in files(folder):
            assert not hidden_in(nest, content), path
            if path.parent.parent.name == "objects" and len(path.parent.name) == 2:
                assert not hidden_in(nest, zlib.decompress(content)), path


def test_the_cache_holds_no_secret_in_its_keys_and_values(nest: Nest) -> None:
    for key in nest.redis.scan_iter():
        value = nest.redis.dump(key) or b""
        read = nest.redis.get(key) if nest.redis.type(key) == b"string" else repr(nest.redis.hgetall(key)).encode()
        assert not hidden_in(nest, key + value + (read or b"")), key


def test_the_queue_holds_no_secret(nest: Nest) -> None:
    messages = eventually(nest.queue.received, 20)
    assert not hidden_in(nest, repr(messages).encode())


def test_the_traces_hold_no_secret(nest: Nest) -> None:
    eventually(nest.collector.spans)
    for body in nest.collector.bodies:
        assert not hidden_in(nest, body)


def test_the_scenario_would_be_heard(nest: Nest) -> None:
    assert hidden_in(nest, f"x{GIT}y".encode())
    assert any(b"ml_registry_requests_total" in answer for answer in nest.answers)
