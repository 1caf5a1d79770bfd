"""Bytes: both roads to READY, and nothing believed before it was checked."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.registry.artifacts import ObjectRequest, PatchRequest, PendingPolicy, pin_of
from app.registry.errors import DigestMismatchError, InvalidInputError, ManifestBrokenError, MissingObjectsError
from app.registry.manifest import ObjectPin
from app.registry.model import ObjectState
from app.registry.transfers import Completed
from app.registry.uploads import Upload, UploadState
from app.stores.objects.local import LocalObjects
from app.stores.ports import ObjectKey, ObjectStat
from tests.support.domain import ADA, Desk, put

BYTES = b"a churn model"
OTHER = b"another model"


def announced(content: bytes = BYTES, size: int | None = None, **other: Any) -> ObjectRequest:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    given = {"content_type": None, "filename": None, **other}
    return ObjectRequest(digest, len(content) if size is None else size, **given)


async def send(desk: Desk, upload: Upload, content: bytes = BYTES) -> None:
    """PUT the bytes as the upload's request says."""
    store: Any = desk.registry._stores.objects  # noqa: SLF001 - the server's other end
    assert isinstance(store, LocalObjects)
    ((_, request),) = upload.requests
    key = ObjectKey(desk.project.name, upload.pin.sha256)
    link = store.links.read("PUT", key, parse_qsl(urlsplit(request.url).query, keep_blank_values=True))

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await store.receive(link, chunks())


async def create(desk: Desk, *wanted: ObjectRequest) -> tuple[Upload, ...]:
    return await desk.registry.transfers.create(desk.project, [pin_of(one) for one in wanted], checked=False)


async def complete(desk: Desk, upload: str) -> Completed:
    return await desk.registry.transfers.complete(desk.project, upload, None, ADA)


async def pin(desk: Desk, name: str, branch: str = "main") -> ObjectPin:
    at = (await desk.branch(branch)).at
    found = (await desk.registry.manifests.get(desk.project, at.blob)).entries[name].object
    assert found
    return found


async def state(desk: Desk, name: str, branch: str = "main") -> ObjectState:
    return await desk.registry.presence.state(desk.project, await pin(desk, name, branch))


# ── Upload, then commit ──────────────────────────────────────────────────────────────────────


async def test_bytes_sent_first_are_ready_with_the_commit_that_names_them(desk: Desk) -> None:
    (upload,) = await create(desk, announced())
    await send(desk, upload)
    done = await complete(desk, upload.id)
    assert (done.upload.state, done.artifacts, desk.log()) == (UploadState.STORED, (), [])
    committed = await desk.commit(put("a", announced()), pending=PendingPolicy.REFUSE)
    assert committed.uploads == ()
    assert await state(desk, "a") is ObjectState.READY


async def test_bytes_that_are_stored_need_no_sending(desk: Desk) -> None:
    (upload,) = await create(desk, announced())
    await send(desk, upload)
    again, other = await create(desk, announced(), announced(OTHER))
    assert (again.state, again.requests, again.expires_at) == (UploadState.STORED, (), None)
    assert other.state is UploadState.PENDING
    assert (await complete(desk, again.id)).upload.state is UploadState.STORED


async def test_a_commit_that_must_not_wait_is_refused_with_what_is_missing(desk: Desk) -> None:
    with pytest.raises(MissingObjectsError) as refused:
        await desk.commit(put("a", announced()), put("b", announced(OTHER)), pending=PendingPolicy.REFUSE)
    assert list(refused.value.digests) == [announced().digest, announced(OTHER).digest]
    assert desk.log() == []


async def test_the_id_of_an_entry_that_pins_bytes_is_their_digest_unless_it_has_one(desk: Desk) -> None:
    await desk.commit(put("a", announced()), put("b", announced(), dataObjectId="7"))
    entries = await desk.entries()
    assert (entries["a"]["dataObjectId"], entries["b"]["dataObjectId"]) == (announced().digest, "7")


# ── Commit, then upload ──────────────────────────────────────────────────────────────────────


async def test_bytes_named_first_are_pending_until_they_are_completed(desk: Desk) -> None:
    committed = await desk.commit(put("a", announced(filename="churn.pkl", content_type="application/x-model")))
    assert await state(desk, "a") is ObjectState.PENDING
    (upload,) = committed.uploads
    await send(desk, upload)
    assert await state(desk, "a") is ObjectState.PENDING
    done = await complete(desk, upload.id)
    assert [one.name for one in done.artifacts] == ["a"]
    assert await state(desk, "a") is ObjectState.READY
    assert (await desk.entries())["a"]["object"] == {
        "sha256": upload.pin.sha256,
        "size": len(BYTES),
        "contentType": "application/x-model",
        "filename": "churn.pkl",
    }
    assert len(desk.log()) == 2


async def test_arrival_is_told_as_a_change_of_the_artifact(desk: Desk) -> None:
    (upload,) = (await desk.commit(put("a", announced()))).uploads
    await send(desk, upload)
    await complete(desk, upload.id)
    assert await desk.events() == ["ARTIFACT_ADDED a", "ARTIFACT_MODIFIED a"]


async def test_completing_again_commits_nothing_more(desk: Desk) -> None:
    (upload,) = (await desk.commit(put("a", announced()))).uploads
    await send(desk, upload)
    await asyncio.gather(*(complete(desk, upload.id) for _ in range(3)))
    assert len(desk.log()) == 2


async def test_one_upload_serves_every_change_that_names_the_bytes(desk: Desk) -> None:
    committed = await desk.commit(put("a", announced()), put("b", announced()), put("c", announced(OTHER)))
    assert len(committed.uploads) == 2
    await send(desk, committed.uploads[0])
    done = await complete(desk, committed.uploads[0].id)
    assert [one.name for one in done.artifacts] == ["a", "b"]
    assert len(desk.log()) == 2
    assert await state(desk, "c") is ObjectState.PENDING


async def test_every_branch_that_waits_is_settled(desk: Desk) -> None:
    (upload,) = (await desk.commit(put("a", announced()))).uploads
    for name in ("dev", "next"):
        await desk.registry.branching.create(desk.project, name, "HEAD")
    await send(desk, upload)
    done = await complete(desk, upload.id)
    assert [one.name for one in done.artifacts] == ["a"] * 3
    assert [await state(desk, "a", branch) for branch in ("dev", "main", "next")] == [ObjectState.READY] * 3


async def test_a_branch_that_is_broken_does_not_keep_the_others_waiting(desk: Desk) -> None:
    (upload,) = (await desk.commit(put("a", announced()))).uploads
    for name in ("broken", "other"):
        await desk.registry.branching.create(desk.project, name, "HEAD")
    desk.push("a: [\n", branch="broken")
    await desk.follow()
    await send(desk, upload)
    with pytest.raises(ManifestBrokenError):
        await complete(desk, upload.id)
    assert [await state(desk, "a", branch) for branch in ("main", "other")] == [ObjectState.READY] * 2


async def test_a_patch_pins_other_bytes(desk: Desk) -> None:
    await desk.commit(put("a", announced()))
    committed = await desk.commit(PatchRequest("a", {"x": 1}, announced(OTHER)))
    assert [one.pin.sha256 for one in committed.uploads] == [announced(OTHER).digest.removeprefix("sha256:")]
    assert (await desk.entries())["a"]["dataObjectId"] == announced(OTHER).digest


# ── Nothing is believed ──────────────────────────────────────────────────────────────────────


async def test_bytes_that_have_not_arrived_are_not_completed(desk: Desk) -> None:
    (upload,) = await create(desk, announced())
    with pytest.raises(MissingObjectsError):
        await complete(desk, upload.id)


async def test_a_size_that_is_not_that_of_the_bytes_is_refused(desk: Desk) -> None:
    (upload,) = await create(desk, announced())
    await send(desk, upload)
    for wrong in (create(desk, announced(size=1)), desk.commit(put("a", announced(size=1)))):
        with pytest.raises(InvalidInputError, match="long"):
            await wrong


async def test_an_upload_that_promised_another_size_is_not_completed(desk: Desk) -> None:
    wrong, right = await create(desk, announced(size=1)) + await create(desk, announced())
    await send(desk, right)
    with pytest.raises(InvalidInputError, match="long"):
        await complete(desk, wrong.id)


async def test_an_entry_that_pins_another_size_is_not_made_ready(desk: Desk) -> None:
    (wrong,) = (await desk.commit(put("wrong", announced(size=1)))).uploads
    (right,) = (await desk.commit(put("right", announced()))).uploads
    await send(desk, right)
    assert [one.name for one in (await complete(desk, right.id)).artifacts] == ["right"]
    assert (await pin(desk, "wrong")).pending
    with pytest.raises(InvalidInputError):
        await complete(desk, wrong.id)


async def test_other_bytes_in_the_store_than_the_digest_says_are_a_mismatch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (upload,) = await create(desk, announced())

    async def stat(_: ObjectKey) -> ObjectStat:
        return ObjectStat(len(BYTES), "00" * 32)

    monkeypatch.setattr(desk.registry._stores.objects, "stat", stat)  # noqa: SLF001 - a store that was tampered with
    with pytest.raises(DigestMismatchError) as refused:
        await complete(desk, upload.id)
    assert (refused.value.expected, refused.value.actual) == (announced().digest, "sha256:" + "00" * 32)


async def test_bytes_that_vanished_from_the_store_are_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (upload,) = await create(desk, announced())
    await send(desk, upload)
    await desk.commit(put("a", announced()))

    async def stat(_: ObjectKey) -> None:
        return None

    monkeypatch.setattr(desk.registry._stores.objects, "stat", stat)  # noqa: SLF001 - a store that lost something
    assert await state(desk, "a") is ObjectState.MISSING


@pytest.mark.parametrize(
    "altered", [lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), lambda _: "", str.upper]
)
async def test_an_upload_that_was_altered_is_refused(desk: Desk, altered: Any) -> None:
    (upload,) = await create(desk, announced())
    with pytest.raises(InvalidInputError) as refused:
        await complete(desk, altered(upload.id))
    assert refused.value.issues[0].path == ("upload",)


async def test_an_upload_that_has_expired_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (upload,) = await create(desk, announced())
    later = time.time() + 3 * 3600
    monkeypatch.setattr("app.registry.uploads.time.time", lambda: later)
    with pytest.raises(InvalidInputError, match="expired"):
        await complete(desk, upload.id)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (ObjectRequest("sha256:x", 1, None, None), "digest"),
        (announced(size=-1), "size"),
        (announced(size=2**40 + 1), "size"),
        (announced(content_type="nonsense"), "contentType"),
        (announced(filename="../up"), "filename"),
    ],
)
async def test_a_bad_announcement_is_refused_by_its_place(desk: Desk, wanted: ObjectRequest, path: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(put("a", wanted))
    assert refused.value.issues[0].path == ("changes", "0", "put", "object", path)


async def test_no_signed_link_ever_reaches_git(desk: Desk) -> None:
    committed = await desk.commit(put("a", announced()))
    everything = desk.text() + desk.repository.commit(committed.commit).message
    assert "http" not in everything
    assert "signature" not in everything
