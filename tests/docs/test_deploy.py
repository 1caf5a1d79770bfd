"""The image, the composition and the page about them name what there is, and keep to what the page promises."""

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import yaml

from app.settings import PREFIX, Settings
from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.events.sqs import Address as QueueAddress
from app.stores.objects.bucket import Address as BucketAddress
from tests.support.server import free_port, running
from tests.support.versions import known

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/deploy.md"
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}
SECRET = re.compile(r"\$\{[A-Z_]+(:\?[^}]*)?\}")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of word and rest, continued lines joined, comments left out."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.MULTILINE))
    pairs = [line.partition(" ") for line in joined.splitlines() if line]
    return [(word, rest) for word, _, rest in pairs]


def last_stage() -> list[tuple[str, str]]:
    given = instructions()
    start = max(place for place, (word, _) in enumerate(given) if word == "FROM")
    return given[start:]


def settings_of_the_image() -> dict[str, str]:
    """Those it sets, but for the port and the place, which a test chooses."""
    (given,) = [rest for word, rest in last_stage() if word == "ENV"]
    pairs = [one.split("=", 1) for one in given.split()]
    return {name: value for name, value in pairs if name in KNOWN - {"REGISTRY_PORT", "REGISTRY_DATA_DIR"}}


def health_check() -> list[str]:
    (check,) = [rest for word, rest in last_stage() if word == "HEALTHCHECK"]
    command: list[str] = json.loads(check.partition("CMD ")[2])
    return command


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return composed


def servers(composed: dict[str, Any]) -> list[dict[str, Any]]:
    return [service for name, service in composed["services"].items() if name.startswith("server-")]


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "deploy/Caddyfile", PAGE])
def test_every_setting_it_names_is_one(name: str) -> None:
    assert set(re.findall(rf"{PREFIX}[A-Z_]+", text(name))) <= KNOWN


def test_the_page_places_every_setting() -> None:
    assert set(re.findall(rf"{PREFIX}[A-Z_]+", text(PAGE))) >= KNOWN - {"REGISTRY_ACTOR_EMAIL"}


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    allowed = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source
    assert copied >= {"app", "pyproject.toml", "requirements.lock", "web"}


def test_what_the_build_of_the_package_needs_is_copied() -> None:
    project = text("pyproject.toml")
    assert re.search(r'^readme = "README\.md"$', project, re.MULTILINE)
    assert ("COPY", "pyproject.toml README.md LICENSE ./") in instructions()


def test_nothing_is_installed_whose_hash_was_not_checked() -> None:
    commands = " ".join(rest for word, rest in instructions() if word == "RUN")
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|download)[^&]*", commands)
    assert len(installs) == 2
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)
    assert "npm ci" in commands
    assert "npm install" not in commands


def test_the_image_ends_as_a_user_who_is_nobody() -> None:
    words = last_stage()
    assert [rest for word, rest in words if word == "USER"] == ["10001"]
    at = [word for word, _ in words]
    assert at.index("RUN") < at.index("USER") < at.index("ENTRYPOINT")


def test_the_image_says_whether_it_is_well() -> None:
    command = health_check()
    assert command[:2] == ["python", "-c"]
    ast.parse(command[2])
    assert "/livez" in command[2]


def test_the_image_serves_others_once_they_sign_in_and_calls_that_healthy(tmp_path: Path) -> None:
    port, settings = free_port(), settings_of_the_image()
    assert settings["REGISTRY_HOST"] == "0.0.0.0"  # noqa: S104 - the image alone, and what follows is why it may
    command = [sys.executable, *health_check()[1:]]
    with running(tmp_path / "data", "--no-demo", port=port, REGISTRY_SIGN_IN="true", **settings) as server:
        assert server.post("{ viewer { name } }").status_code == 401
        subprocess.run(command, env={**os.environ, "REGISTRY_PORT": str(port)}, check=True)


def test_images_are_named_by_a_version_and_no_address(composed: dict[str, Any]) -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    images = [service["image"] for service in composed["services"].values() if "build" not in service]
    for image in bases + images:
        assert re.fullmatch(r"[a-z]+(/[a-z-]+)?:[0-9][0-9a-z.-]*", image), image


def test_a_server_is_reached_through_the_proxy_alone(composed: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in composed["services"].items() if "ports" in service}
    assert list(ports) == ["proxy"]
    assert all(port.startswith("127.0.0.1:") for port in ports["proxy"])
    assert len(servers(composed)) == 2
    for server in servers(composed):
        assert server["network_mode"] == "service:proxy"
        assert server["environment"]["REGISTRY_SIGN_IN"] == "true"


def test_the_proxy_hands_on_to_the_ports_the_servers_listen_on(composed: dict[str, Any]) -> None:
    listening = {server["environment"]["REGISTRY_PORT"] for server in servers(composed)}
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", text("deploy/Caddyfile"))) == listening


def test_servers_differ_in_their_port_alone(composed: dict[str, Any]) -> None:
    one, two = ({**server, "environment": {**server["environment"]}} for server in servers(composed))
    assert one["environment"].pop("REGISTRY_PORT") != two["environment"].pop("REGISTRY_PORT")
    assert one == two


def test_what_the_servers_share_has_addresses_they_can_read(composed: dict[str, Any]) -> None:
    environment = servers(composed)[0]["environment"]
    bucket = BucketAddress.parse(environment["REGISTRY_OBJECTS_URL"])
    queue = QueueAddress.parse(environment["REGISTRY_QUEUE_URL"])
    (made,) = composed["services"]["bucket"]["command"]
    ast.parse(made)
    assert f'Bucket="{bucket.bucket}"' in made
    assert f'"{bucket.endpoint}"' in made
    assert f'queues."{queue.name}".fifo = true' in text("deploy/elasticmq.conf")


def test_no_secret_has_a_value_of_its_own(composed: dict[str, Any]) -> None:
    found = dict(secrets(composed))
    assert len(found) > 5
    assert all(SECRET.search(value) for value in found.values())
    written = re.search(r"<<END\n(.*?)\nEND\n", text(PAGE), re.DOTALL)
    assert written is not None
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", text("compose.yaml")))
    assert {line.partition("=")[0] for line in written[1].splitlines()} == wanted


def secrets(composed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for service, described in composed["services"].items():
        for name, value in described.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|AUTH|KEY|REDIS_URL", name):
                yield f"{service} {name}", value


def test_every_volume_and_file_it_mounts_is_there(composed: dict[str, Any]) -> None:
    for service in composed["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./deploy"):
                assert (ROOT / source).is_file(), source
            else:
                assert source in composed["volumes"], source


def test_the_policies_on_the_page_are_json_that_allows_no_more_than_it_names() -> None:
    policies = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text(PAGE), re.DOTALL)]
    assert len(policies) == 2
    for policy in policies:
        for statement in policy["Statement"]:
            assert not any("*" in action for action in statement["Action"])
            assert statement["Resource"] != "*"


def test_the_bucket_policy_allows_every_operation_that_is_asked() -> None:
    code = "".join(path.read_text() for path in (ROOT / "app/stores/objects").glob("*.py"))
    asked = {name for name in ACTIONS if f'"{name}"' in code}
    assert asked == set(ACTIONS), "an operation went: take its action from the policy where no other needs it"
    used = set(re.findall(r'"((?:get|put|head|delete|list|create|complete|abort|upload|copy)_[a-z_0-9]+)"', code))
    assert used == asked, "an operation came: say which action it needs"
    allowed = set(re.findall(r'"(s3:[A-Za-z]+)"', text(PAGE)))
    assert allowed == {action for actions in ACTIONS.values() for action in actions}


ACTIONS = {
    "put_object": ["s3:PutObject"],
    "get_object": ["s3:GetObject"],
    "head_object": ["s3:GetObject", "s3:ListBucket"],
    "delete_object": ["s3:DeleteObject"],
    "copy_object": ["s3:GetObject", "s3:PutObject"],
    "create_multipart_upload": ["s3:PutObject"],
    "upload_part": ["s3:PutObject"],
    "upload_part_copy": ["s3:GetObject", "s3:PutObject"],
    "complete_multipart_upload": ["s3:PutObject"],
    "abort_multipart_upload": ["s3:AbortMultipartUpload"],
    "list_parts": ["s3:ListMultipartUploadParts"],
    "list_multipart_uploads": ["s3:ListBucketMultipartUploads"],
    "list_objects_v2": ["s3:ListBucket"],
}
"""What S3 calls the right to each operation the store asks for or signs."""


@pytest.fixture
async def restricted(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a cache for a user with the rights on the page."""
    valkey = PrivateValkey(tmp_path)
    await valkey.start()
    (rights,) = re.findall(r"^user registry (.*)$", text(PAGE), re.MULTILINE)
    client = redis.asyncio.Redis.from_url(valkey.url)
    await client.execute_command("ACL", "SETUSER", "registry", *rights.split())
    await client.aclose()
    yield f"unix://registry@{valkey.socket}?password=password"
    await valkey.stop()


async def test_the_rights_on_the_page_are_enough_for_the_cache(restricted: str) -> None:
    cache = RedisCache(restricted)
    assert await cache.move("p", await cache.ticket(), {"a": b"1", "b": b"2"})
    assert await cache.move("p", await cache.ticket(), {"a": None}, {"a": b"1"})
    assert await cache.pointer("p", "b") == b"2"
    assert await cache.pointers("p") == {"b": b"2"}
    await cache.put_derived({"x": b"1"})
    assert await cache.derived(["x"]) == {"x": b"1"}
    assert await cache.lease("l", "me", 5)
    await cache.close()


async def test_the_rights_on_the_page_are_enough_to_wake_each_other(restricted: str) -> None:
    one, two = RedisCache(restricted), RedisCache(restricted)

    async def call() -> None:
        while True:
            await two.wake()
            await asyncio.sleep(0.05)

    calling = asyncio.create_task(call())
    async with asyncio.timeout(5), aclosing(one.wakes()) as wakes:
        await anext(wakes)
    calling.cancel()
    await one.close()
    await two.close()


async def test_the_rights_on_the_page_are_enough_to_notice_what_the_other_moves(restricted: str) -> None:
    one, two = RedisCache(restricted), RedisCache(restricted)
    before = await known(one, "p")
    assert await two.move("p", await two.ticket(), {"a": b"1"})
    async with asyncio.timeout(5):
        while one.version("p") in (before, None):  # noqa: ASYNC110 - nothing tells when it moves
            await asyncio.sleep(0.01)
    await one.close()
    await two.close()


async def test_the_rights_on_the_page_end_at_what_is_the_registrys_own(restricted: str) -> None:
    client = redis.asyncio.Redis.from_url(restricted)
    for command in (["SET", "other", "1"], ["GET", "other"], ["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"]):
        with pytest.raises(redis.exceptions.NoPermissionError):
            await client.execute_command(*command)
    await client.aclose()
