"""The bytes in a bucket, from outside: both roads, parts and taking them up again, many at once, other hands."""

import hashlib
import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import swift
from tests.support.api import UPLOAD, Work, announce, digest_of, eventually, new_project, send
from tests.support.s3 import CREDENTIALS, Begun, Bucket, Stored, strict_s3
from tests.support.server import Server, free_port, running

LARGE = 9 * 1024 * 1024
BODY = hashlib.shake_256(b"weights").digest(20 * 1024 * 1024 + 7)
RESUME = f"""query($id: ID!, $parts: [UploadPartInput!]) {{
  upload(id: $id, parts: $parts) {{ {UPLOAD} partSize arrived {{ number size etag }} }} }}"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with strict_s3() as running_bucket:
        yield running_bucket


@pytest.fixture(scope="module")
def server(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"REGISTRY_OBJECTS_URL": bucket.setting("team"), "REGISTRY_OBJECTS_MULTIPART_BYTES": str(LARGE)}
    with running(tmp_path_factory.mktemp("s3") / "var", **settings, **CREDENTIALS) as started:
        yield started


@pytest.fixture
def work(server: Server) -> Work:
    return new_project(server)


@pytest.fixture
def body(work: Work) -> bytes:
    """Bytes no other test has, few enough for one request."""
    return b"Hello, bucket!" + work.name.encode()


@pytest.fixture
def large(work: Work) -> bytes:
    """The same, so many that they go in three parts."""
    return work.name.encode() + BODY


def uploaded(work: Work, content: bytes, **members: Any) -> dict[str, Any]:
    (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(content)], **members)["uploads"]
    return dict(upload)


def put_parts(upload: dict[str, Any], content: bytes, numbers: Sequence[int] | None = None) -> list[httpx.Response]:
    """PUT these parts, all for None, as their requests say."""
    return [
        httpx.put(
            part["url"],
            headers={header["name"]: header["value"] for header in part["headers"]},
            content=content[int(part["offset"]) : int(part["offset"]) + int(part["size"])],
            trust_env=False,
        )
        for part in upload["parts"]
        if numbers is None or part["number"] in numbers
    ]


def resumed(work: Work, upload: dict[str, Any], parts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return dict(work.server.ask(RESUME, id=upload["id"], parts=parts)["upload"])


def pinned(work: Work, name: str) -> dict[str, Any]:
    artifact = work.artifact(name)
    assert artifact
    return dict(artifact["object"])


def test_upload_complete_commit_download(work: Work, bucket: Bucket, body: bytes) -> None:
    upload = uploaded(work, body)
    assert send(upload, body).status_code == 200
    assert work.mutate("completeUpload", upload=upload["id"])["upload"] == {"state": "STORED"}
    work.put("model", object=announce(body, filename="größe.txt", contentType="text/plain"))
    found = pinned(work, "model")
    assert found["state"] == "READY"
    answer = httpx.get(found["download"]["url"], trust_env=False)
    assert answer.content == body
    assert answer.headers["content-type"] == "text/plain"
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe.txt" in answer.headers["content-disposition"]
    assert f"team/{work.name}/{hashlib.sha256(body).hexdigest()}" in bucket.own()


def test_commit_then_upload(work: Work, body: bytes) -> None:
    (upload,) = work.commit({"put": {"name": "model", "object": announce(body)}})["uploads"]
    assert pinned(work, "model")["state"] == "PENDING"
    send(upload, body)
    work.mutate("completeUpload", upload=upload["id"])
    assert pinned(work, "model")["state"] == "READY"


def test_a_link_that_was_altered_or_carries_other_bytes_stores_nothing(work: Work, bucket: Bucket, body: bytes) -> None:
    upload = uploaded(work, body)
    assert send(upload, body[::-1]).status_code == 400
    assert send(upload, body + b"!").status_code == 403
    assert send(upload, body, **{"Content-Type": "text/html"}).status_code == 403
    url = upload["parts"][0]["url"]
    upload["parts"][0]["url"] = url.replace(work.name, "other")
    assert send(upload, body).status_code == 403
    assert not [key for key in bucket.own() if work.name in key or "other" in key]
    assert work.mutate("completeUpload", upload=upload["id"])["__typename"] == "MissingObjectsError"


def test_a_put_whose_answer_was_lost_is_completed_all_the_same(work: Work, bucket: Bucket, body: bytes) -> None:
    upload = uploaded(work, body)
    bucket.mute = "PUT"
    assert send(upload, body).status_code == 500
    assert send(upload, body).status_code == 412
    assert work.mutate("completeUpload", upload=upload["id"])["object"]["state"] == "READY"


def test_large_bytes_go_in_the_parts_an_upload_lists(work: Work, large: bytes) -> None:
    (upload,) = work.commit({"put": {"name": "model", "object": announce(large)}})["uploads"]
    assert [part["number"] for part in upload["parts"]] == [1, 2, 3]
    assert sum(int(part["size"]) for part in upload["parts"]) == len(large)
    etags = [answer.headers["etag"] for answer in put_parts(upload, large)]
    done = work.mutate("completeUpload", upload=upload["id"], etags=etags)
    assert [one["name"] for one in done["artifacts"]] == ["model"]
    assert httpx.get(pinned(work, "model")["download"]["url"], trust_env=False).content == large


def test_an_interrupted_upload_goes_on_with_the_parts_that_are_left(work: Work, large: bytes) -> None:
    upload = uploaded(work, large)
    (answer,) = put_parts(upload, large, [2])
    refused = work.mutate("completeUpload", upload=upload["id"])
    assert refused["__typename"] == "MissingObjectsError"
    assert "2 of its parts: 1, 3" in refused["message"]
    again = resumed(work, upload)
    assert again["id"] == upload["id"]
    assert [(one["number"], one["etag"]) for one in again["arrived"]] == [(2, answer.headers["etag"])]
    assert [part["number"] for part in again["parts"]] == [1, 3]
    put_parts(again, large)
    assert work.mutate("completeUpload", upload=upload["id"])["upload"]["state"] == "STORED"
    after = resumed(work, upload)
    assert (after["state"], after["parts"], after["arrived"]) == ("STORED", [], [])


def test_parts_that_are_checked_are_signed_for_their_digests_when_asked_for(work: Work, large: bytes) -> None:
    upload = uploaded(work, large, checkParts=True)
    assert upload["parts"] == []
    size = int(resumed(work, upload)["partSize"])
    pieces = [large[first : first + size] for first in range(0, len(large), size)]
    wanted = [{"number": number, "digest": digest_of(piece)} for number, piece in enumerate(pieces, 1)]
    asked = resumed(work, upload, wanted)
    (refused,) = put_parts(asked, bytes(len(large)), [3])
    assert refused.status_code == 400
    assert {answer.status_code for answer in put_parts(asked, large)} == {200}
    assert work.mutate("completeUpload", upload=upload["id"])["object"]["state"] == "READY"


def test_parts_of_other_bytes_are_found_out_and_the_upload_begins_anew(
    work: Work, bucket: Bucket, large: bytes
) -> None:
    upload = uploaded(work, large)
    put_parts(upload, large[:-1] + b"!")
    refused = work.mutate("completeUpload", upload=upload["id"])
    assert refused["__typename"] == "DigestMismatchError"
    assert refused["actual"] == digest_of(large[:-1] + b"!")
    assert not [key for key in bucket.objects if work.name in key]
    assert work.mutate("completeUpload", upload=upload["id"])["__typename"] == "MissingObjectsError"
    put_parts(again := uploaded(work, large), large)
    assert work.mutate("completeUpload", upload=again["id"])["upload"]["state"] == "STORED"


@pytest.mark.parametrize(
    ("checked", "part", "path"),
    [
        (False, {"number": 0}, "number"),
        (False, {"number": 4}, "number"),
        (False, {"number": 1, "digest": "sha256:" + "0" * 64}, "digest"),
        (True, {"number": 1}, "digest"),
    ],
)
def test_a_part_that_makes_no_sense_is_refused(
    work: Work,
    large: bytes,
    checked: bool,  # noqa: FBT001 (a case)
    part: dict[str, Any],
    path: str,
) -> None:
    upload = uploaded(work, large, checkParts=checked)
    (error,) = work.server.post(RESUME, id=upload["id"], parts=[part]).json()["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert f"parts.0.{path}" in error["message"]


def test_etags_of_other_parts_are_refused(work: Work, large: bytes) -> None:
    upload = uploaded(work, large)
    put_parts(upload, large)
    refused = work.mutate("completeUpload", upload=upload["id"], etags=["1", "2", "3"])
    assert [issue["path"] for issue in refused["issues"]] == [["etags"]]


@pytest.mark.parametrize("kind", ["body", "large"])
def test_twenty_uploads_of_the_same_bytes_at_once_are_one_object(
    work: Work, bucket: Bucket, request: pytest.FixtureRequest, kind: str
) -> None:
    content = request.getfixturevalue(kind)

    def upload(_: int) -> dict[str, Any]:
        made = uploaded(work, content)
        put_parts(made, content)
        return work.mutate("completeUpload", upload=made["id"])

    with ThreadPoolExecutor(20) as threads:
        done = list(threads.map(upload, range(20)))
    assert {one["__typename"] for one in done} == {"CompleteUploadSuccess"}
    assert len([key for key in bucket.objects if work.name in key]) == 1
    assert not [begun for begun in bucket.uploads.values() if work.name in begun.key]


def test_an_emptied_bucket_leaves_missing_bytes_that_can_be_sent_again(work: Work, bucket: Bucket, body: bytes) -> None:
    send(uploaded(work, body), body)
    work.put("model", object=announce(body))
    found = """query($p: String!, $s: ObjectState!) {
      artifacts(filter: { project: $p, objectState: [$s] }) { nodes { name } } }"""

    def among(state: str) -> list[str]:
        return [node["name"] for node in work.server.ask(found, p=work.name, s=state)["artifacts"]["nodes"]]

    assert among("READY") == ["model"]
    bucket.empty()
    assert (pinned(work, "model")["state"], pinned(work, "model")["download"]) == ("MISSING", None)
    assert (among("READY"), among("MISSING")) == ([], ["model"])
    send(uploaded(work, body), body)
    assert pinned(work, "model")["state"] == "READY"


def test_a_store_that_is_away_fails_what_needs_it_and_nothing_else(work: Work, bucket: Bucket, body: bytes) -> None:
    send(uploaded(work, body), body)
    work.put("model", object=announce(body))
    bucket.broken = True
    try:
        asked = 'query($p: String!) { artifact(project: $p, name: "model") { name object { state } } }'
        answer = work.server.post(asked, p=work.name).json()
        assert answer["data"]["artifact"] == {"name": "model", "object": None}
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["OBJECT_STORE_UNAVAILABLE"]
        head = work.head()
        change = {"put": {"name": "other", "object": announce(body + b"!")}}
        made = work.server.post(
            "mutation($i: CommitArtifactsInput!) { commitArtifacts(input: $i) { __typename } }",
            i={"project": work.name, "changes": [change]},
        )
        assert made.json()["errors"][0]["extensions"]["code"] == "OBJECT_STORE_UNAVAILABLE"
        assert work.head() == head
        assert work.put("plain", type="note")
    finally:
        bucket.broken = False
    assert pinned(work, "model")["state"] == "READY"


def test_no_signed_link_is_ever_logged(server: Server, work: Work, body: bytes) -> None:
    send(uploaded(work, body), body)
    assert "X-Amz-Signature" not in server.log.read_text()


def test_a_server_starts_without_its_bucket_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    settings = {"REGISTRY_OBJECTS_URL": f"s3://bytes?region=eu-west-1&endpoint=http://127.0.0.1:{port}", **CREDENTIALS}
    with running(tmp_path / "var", **settings) as server:
        work = new_project(server)
        assert work.put("plain", type="note")
        assert "bucket bytes cannot be used" in server.log.read_text()
        with strict_s3(port):
            content = json.dumps(work.name).encode()
            send(eventually(lambda: uploaded(work, content)), content)
            work.put("model", object=announce(content))
            assert pinned(work, "model")["state"] == "READY"


def test_a_server_killed_while_it_reads_what_came_in_parts_goes_on_after_it_starts_again(
    tmp_path: Path, bucket: Bucket
) -> None:
    settings = {"REGISTRY_OBJECTS_URL": bucket.setting("killed"), "REGISTRY_OBJECTS_MULTIPART_BYTES": str(LARGE)}
    with running(tmp_path / "var", **settings, **CREDENTIALS) as server, ThreadPoolExecutor(1) as thread:
        work = new_project(server, "killed")
        (upload,) = work.commit({"put": {"name": "model", "object": announce(BODY)}})["uploads"]
        put_parts(upload, BODY)
        bucket.slow = 30
        lost = thread.submit(work.mutate, "completeUpload", upload=upload["id"])
        reading = f"GET /bytes/killed/.incoming/killed/{hashlib.sha256(BODY).hexdigest()}"
        eventually(lambda: any(asked.startswith(reading) for asked in bucket.asked[-3:]))
        server.stop(signal.SIGKILL)
        bucket.slow = 0
        assert isinstance(lost.exception(), httpx.TransportError)
    with running(tmp_path / "var", **settings, **CREDENTIALS) as server:
        work = Work(server, "killed")
        assert pinned(work, "model")["state"] == "PENDING"
        assert work.mutate("completeUpload", upload=upload["id"])["object"]["state"] == "READY"
        assert httpx.get(pinned(work, "model")["download"]["url"], trust_env=False).content == BODY


def test_a_server_gives_up_old_uploads_as_soon_as_it_starts(tmp_path: Path) -> None:
    name = f".incoming/search/ranker/{'0' * 64}/{'1' * 16}"
    with strict_s3() as bucket:
        young, old = bucket.now() - timedelta(days=7), bucket.now() - timedelta(days=9)
        bucket.uploads = {"young": Begun(name, young, "a/b", None), "old": Begun(name, old, "a/b", None)}
        bucket.objects[name] = Stored(b"", old)
        with running(tmp_path / "var", REGISTRY_OBJECTS_URL=bucket.setting(), **CREDENTIALS) as server:
            eventually(lambda: (list(bucket.uploads), list(bucket.objects)) == (["young"], []))
            assert eventually(lambda: "2 leftovers" in server.log.read_text())


@pytest.mark.slow
def test_swift_serves_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "swift"
    folder.mkdir()
    if reason := swift.lacking(folder):
        pytest.skip(reason)
    with swift.swift(folder) as url:
        settings = {"REGISTRY_OBJECTS_URL": url, "REGISTRY_OBJECTS_MULTIPART_BYTES": str(LARGE), **swift.CREDENTIALS}
        with running(tmp_path / "var", **settings) as server:
            work = new_project(server)
            for name, content in (("small", b"few bytes"), ("large", BODY)):
                upload = uploaded(work, content)
                assert {answer.status_code for answer in put_parts(upload, content)} == {200}
                assert work.mutate("completeUpload", upload=upload["id"])["upload"]["state"] == "STORED"
                work.put(name, object=announce(content))
                assert httpx.get(pinned(work, name)["download"]["url"], trust_env=False).content == content


def test_an_address_that_makes_no_sense_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="REGISTRY_OBJECTS_URL cannot be used"),
        running(tmp_path / "var", REGISTRY_OBJECTS_URL="s4://bytes"),
    ):
        pass
