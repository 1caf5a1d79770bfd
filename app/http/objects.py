"""The bytes of the embedded object store over HTTP: signed PUT, GET and HEAD under `/objects/`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, MalformedRangeHeader, Response
from starlette.routing import Route

from app.http.intake import in_time
from app.registry.trail import fails
from app.stores.errors import LinkRefusedError
from app.stores.objects.headers import checksum, content_disposition
from app.stores.objects.links import Link
from app.stores.objects.local import BLOCK, LocalObjects
from app.stores.ports import ObjectKey


def object_routes(objects: LocalObjects) -> list[Route]:
    """The routes the links of `objects` lead to. A refusal is `{"errors": [{"message", "extensions": {"code"}}]}`."""

    async def endpoint(request: Request) -> Response:
        key = ObjectKey(request.path_params["project"], request.path_params["sha256"])
        try:
            link = objects.links.read(request.method, key, request.query_params.multi_items())
            answer = _put if request.method == "PUT" else _get
            return await answer(objects, link, request)
        except LinkRefusedError as refusal:
            return _refuse(refusal)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it

    return [Route("/objects/{project:path}/{sha256}", endpoint, methods=["GET", "HEAD", "PUT"])]


async def _put(objects: LocalObjects, link: Link, request: Request) -> Response:
    headers = {"content-type": link.content_type, "x-amz-checksum-sha256": checksum(link.key.sha256)}
    for name, value in headers.items():
        if request.headers.get(name) != value:
            raise LinkRefusedError(
                403, "HEADER_MISMATCH", f"The link was signed for the header {name}: {value}; send it."
            )
    length = request.headers.get("content-length")
    if length is not None and int(length) != link.size:
        raise LinkRefusedError(
            400, "SIZE_MISMATCH", f"The link is for exactly {link.size} bytes, and {length} were announced."
        )
    await objects.receive(link, _body(request))
    return Response(headers={"ETag": f'"{link.key.sha256}"'})


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in in_time(request):
            yield chunk
    except TimeoutError:
        message = "Next to nothing was sent for a while: try again over a better line."
        raise LinkRefusedError(408, "UPLOAD_STALLED", message) from None


class _Download(FileResponse):
    """The bytes, or the ranges of them that are asked for; a Range that is none counts for nothing."""

    chunk_size = BLOCK

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        with suppress(MalformedRangeHeader):
            return super()._parse_range_header(http_range, file_size)
        return []


async def _get(objects: LocalObjects, link: Link, _request: Request) -> Response:
    path = objects.path(link.key)
    try:
        found = await asyncio.to_thread(os.stat, path)
    except FileNotFoundError:
        raise LinkRefusedError(
            404, "OBJECT_NOT_FOUND", "The bytes this link is for are not stored: upload them first."
        ) from None
    headers = {
        "Content-Type": link.content_type,
        "Content-Disposition": content_disposition(link.filename),
        "ETag": f'"{link.key.sha256}"',
        "Cache-Control": "private, immutable",
        # The bytes are the users': whatever they are, they never run as a page of this server.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    if not found.st_size:  # its headers are all of it: a client that has them may be gone before a file is open
        return Response(headers=headers)
    return _Download(path, headers=headers, stat_result=found)


def _refuse(refusal: LinkRefusedError) -> Response:
    fails(refusal.code)
    body = {"errors": [{"message": str(refusal), "extensions": {"code": refusal.code}}]}
    return JSONResponse(body, refusal.status, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
