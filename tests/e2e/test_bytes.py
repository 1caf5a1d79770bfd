"""Bytes through the API, on both roads: what arrives, what is refused, and what Git says in the meantime."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from app.registry.tickets import Ticket, Tickets
from app.stores.objects.local import LocalObjects
from app.stores.ports import ObjectKey
from tests.support.api import Work, announce, digest_of, new_project, send
from tests.support.git import git
from tests.support.server import Server

BODY = b"Hello, registry!\n" * 60


@pytest.fixture
def body(work: Work) -> bytes:
    """Bytes no other test has."""
    return BODY + work.name.encode()


def uploaded(work: Work, content: bytes) -> dict[str, Any]:
    """An upload that was asked for and not sent."""
    made = work.mutate("createUploads", project=work.name, objects=[announce(content)])
    (upload,) = made["uploads"]
    return dict(upload)


def count(work: Work) -> int:
    """How many commits `main` has."""
    return int(git("rev-list", "--count", "main", at=work.repository))


def stored(work: Work) -> list[Path]:
    """Every file the store keeps for the project, and everything on its way in."""
    root = work.server.data_dir / "objects"
    own = root / work.name.replace("/", "+")
    return [
        path for folder in (own, root / "incoming", root / ".incoming") for path in folder.rglob("*") if path.is_file()
    ]


def pinned(work: Work, name: str) -> dict[str, Any]:
    """The object of an entry."""
    artifact = work.artifact(name)
    assert artifact
    return dict(artifact["object"])


def test_upload_then_commit_is_one_commit_that_is_ready_at_once(work: Work, body: bytes) -> None:
    before = count(work)
    upload = uploaded(work, body)
    assert upload["state"] == "PENDING"
    assert upload["expiresAt"]
    assert send(upload, body).status_code == 200
    done = work.mutate("completeUpload", upload=upload["id"])
    assert done["upload"] == {"state": "STORED"}
    assert done["artifacts"] == []
    assert count(work) == before
    committed = work.commit({"put": {"name": "model", "object": announce(body)}})
    assert committed["uploads"] == []
    assert committed["artifacts"][0]["object"]["state"] == "READY"
    assert count(work) == before + 1
    assert "state: pending" not in work.text()
    assert committed["artifacts"][0]["entry"]["dataObjectId"] == digest_of(body)


def test_commit_then_upload_is_pending_in_git_until_one_more_commit_makes_it_ready(work: Work, body: bytes) -> None:
    committed = work.commit({"put": {"name": "model", "object": announce(body, filename="m.bin")}})
    (upload,) = committed["uploads"]
    assert committed["artifacts"][0]["object"]["state"] == "PENDING"
    assert committed["artifacts"][0]["object"]["download"] is None
    assert "state: pending" in work.text()
    before = count(work)
    assert send(upload, body).status_code == 200
    assert pinned(work, "model")["state"] == "PENDING"
    done = work.mutate("completeUpload", upload=upload["id"])
    assert [one["name"] for one in done["artifacts"]] == ["model"]
    assert pinned(work, "model")["state"] == "READY"
    assert "state: pending" not in work.text()
    assert count(work) == before + 1
    assert work.mutate("completeUpload", upload=upload["id"])["artifacts"] == []
    assert count(work) == before + 1


def test_an_object_awaited_on_two_branches_becomes_ready_on_both(work: Work, body: bytes) -> None:
    work.mutate("createBranch", project=work.name, name="next")
    (upload,) = work.commit({"put": {"name": "here", "object": announce(body)}})["uploads"]
    work.commit({"put": {"name": "there", "object": announce(body)}}, branch="next")
    send(upload, body)
    done = work.mutate("completeUpload", upload=upload["id"])
    assert sorted(one["name"] for one in done["artifacts"]) == ["here", "there"]
    assert "pending" not in work.text() + work.text("next")


def test_bytes_the_project_has_already_need_no_sending(work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    again = uploaded(work, body)
    assert again["state"] == "STORED"
    assert again["parts"] == []
    assert again["expiresAt"] is None


def test_a_download_is_named_typed_and_answers_ranges(work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    work.put("model", object=announce(body, filename="größe.txt"))
    url = pinned(work, "model")["download"]["url"]
    whole = httpx.get(url, trust_env=False)
    assert whole.content == body
    assert "filename*=utf-8''gr%c3%b6%c3%9fe.txt" in whole.headers["content-disposition"].lower()
    part = httpx.get(url, headers={"range": "bytes=7-14"}, trust_env=False)
    assert part.status_code == 206
    assert part.content == body[7:15]
    assert part.headers["content-range"] == f"bytes 7-14/{len(body)}"
    assert httpx.head(url, trust_env=False).headers["content-length"] == str(len(body))


def test_refusing_pending_bytes_names_those_that_are_missing_and_commits_nothing(work: Work, body: bytes) -> None:
    head = work.head()
    refused = work.commit({"put": {"name": "model", "object": announce(body)}}, pending="REFUSE")
    assert refused["__typename"] == "MissingObjectsError"
    assert refused["digests"] == [digest_of(body)]
    assert work.head() == head


def test_completing_before_anything_was_sent_names_the_missing_bytes(work: Work, body: bytes) -> None:
    refused = work.mutate("completeUpload", upload=uploaded(work, body)["id"])
    assert refused["__typename"] == "MissingObjectsError"
    assert refused["digests"] == [digest_of(body)]


def test_a_file_that_is_gone_from_the_store_is_missing_and_has_no_download(work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    work.put("model", object=announce(body))
    (path,) = stored(work)
    path.unlink()
    found = pinned(work, "model")
    assert found["state"] == "MISSING"
    assert found["download"] is None
    assert uploaded(work, body)["state"] == "PENDING"


@pytest.mark.parametrize("change", [lambda b: b[:-1] + b"!", lambda b: b[:-1], lambda b: b + b"!", lambda _: b""])
def test_other_bytes_than_announced_are_refused_and_nothing_is_stored(work: Work, body: bytes, change: Any) -> None:
    (upload,) = work.commit({"put": {"name": "model", "object": announce(body)}})["uploads"]
    head = work.head()
    refused = send(upload, change(body))
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["extensions"]["code"] in {"DIGEST_MISMATCH", "SIZE_MISMATCH"}
    assert stored(work) == []
    assert work.mutate("completeUpload", upload=upload["id"])["__typename"] == "MissingObjectsError"
    assert work.head() == head


def test_a_link_serves_once_and_never_overwrites(work: Work, body: bytes) -> None:
    upload = uploaded(work, body)
    assert send(upload, body).status_code == 200
    again = send(upload, body)
    assert again.status_code == 412
    assert "complete the upload" in again.json()["errors"][0]["message"]


@pytest.mark.parametrize("name", ["type", "size", "expires", "signature"])
def test_a_link_with_anything_changed_is_refused(work: Work, body: bytes, name: str) -> None:
    upload = uploaded(work, body)
    parts = urlsplit(upload["parts"][0]["url"])
    query = dict(parse_qsl(parts.query))
    query[name] = {"type": "text/html", "size": "1", "expires": "99999999999", "signature": "0" * 64}[name]
    upload["parts"][0]["url"] = urlunsplit(parts._replace(query=urlencode(query)))
    headers = {"content-type": "text/html"} if name == "type" else {}
    refused = send(upload, body, **headers)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "LINK_INVALID"
    assert stored(work) == []


def test_an_upload_link_does_not_read_and_a_download_link_does_not_write(work: Work, body: bytes) -> None:
    upload = uploaded(work, body)
    url = upload["parts"][0]["url"]
    assert httpx.get(url, trust_env=False).status_code == 403
    send(upload, body)
    work.put("model", object=announce(body))
    download = pinned(work, "model")["download"]["url"]
    assert httpx.put(download, content=body, trust_env=False).status_code == 403


def test_an_expired_link_is_refused_and_says_to_ask_for_a_new_one(
    shared_server: Server, work: Work, body: bytes
) -> None:
    secret = (shared_server.data_dir / "secret").read_bytes()
    store = LocalObjects(shared_server.data_dir / "objects", shared_server.url, secret)
    key = ObjectKey(work.name, digest_of(body).removeprefix("sha256:"))
    request = asyncio.run(store.sign_put(key, size=len(body), content_type="text/plain", expires_in=-1))
    refused = httpx.put(request.url, headers=dict(request.headers), content=body, trust_env=False)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["message"] == "This link has expired: ask for a new link."
    assert stored(work) == []


def test_a_download_lasts_as_long_as_asked_and_no_longer_than_a_week(work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    work.put("model", object=announce(body))
    asked = """query($p: String!, $s: Int!) {
      artifact(project: $p, name: "model") { object { download(expiresIn: $s) { url } } } }"""
    url = work.server.ask(asked, p=work.name, s=60)["artifact"]["object"]["download"]["url"]
    assert 50 <= int(parse_qs(urlsplit(url).query)["expires"][0]) - time.time() <= 61
    for seconds in (0, -1, 604801):
        (error,) = work.server.post(asked, p=work.name, s=seconds).json()["errors"]
        assert error["extensions"]["code"] == "INVALID_INPUT"


def altered(ticket: str) -> str:
    """The same ticket for another size."""
    version, payload, signature = ticket.split(".")
    values = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    values[2] += 1
    changed = base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{version}.{changed}.{signature}"


def test_a_ticket_that_was_altered_expired_or_made_up_is_refused_and_commits_nothing(
    shared_server: Server, work: Work, body: bytes
) -> None:
    (upload,) = work.commit({"put": {"name": "model", "object": announce(body)}})["uploads"]
    head = work.head()
    sha256 = digest_of(body).removeprefix("sha256:")
    old = Ticket(work.name, sha256, len(body), "application/octet-stream", None, int(time.time()) - 1)
    expired = Tickets((shared_server.data_dir / "secret").read_bytes()).issue(old)
    tickets = [altered(upload["id"]), expired, "", "u1", "u1..", "\ud800", "ü", "x" * 100_000, f"{upload['id']}="]
    for ticket in tickets:
        refused = work.mutate("completeUpload", upload=ticket)
        assert refused["__typename"] == "InvalidInputError", ticket[:50]
        assert "createUploads" in refused["message"]
    assert work.head() == head


def test_a_ticket_of_one_project_stores_nothing_in_another(shared_server: Server, work: Work, body: bytes) -> None:
    other = new_project(shared_server)
    (upload,) = other.commit({"put": {"name": "model", "object": announce(body)}})["uploads"]
    parts = urlsplit(upload["parts"][0]["url"])
    moved = parts._replace(path=parts.path.replace(other.name, work.name))
    upload["parts"][0]["url"] = urlunsplit(moved)
    assert send(upload, body).status_code == 403
    assert stored(work) == []


def test_bytes_of_no_length_are_bytes_too(work: Work) -> None:
    upload = uploaded(work, b"")
    assert send(upload, b"").status_code == 200
    assert work.mutate("completeUpload", upload=upload["id"])["object"]["state"] == "READY"


def test_a_size_that_is_not_that_of_the_stored_bytes_is_refused(work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    head = work.head()
    wrong = {**announce(body), "size": str(len(body) + 1)}
    refused = work.commit({"put": {"name": "model", "object": wrong}})
    assert refused["__typename"] == "InvalidInputError"
    assert str(len(body)) in refused["message"]
    assert work.head() == head
