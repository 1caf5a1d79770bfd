"""Hosted projects over Git's own protocol: `git clone http://host/git/<project>`, and push.

A refusal is a line of text, which Git clients show, with the status of its code.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.connections import cancel
from app.http.credentials import BASIC, caller
from app.http.errors import Code, Refusal
from app.http.intake import no_room, receive
from app.http.peers import Outlet
from app.http.pktline import FLUSH, NO_OBJECT, packet, read_push, write_report
from app.registry.access.access import Access
from app.registry.access.identity import Identity, Role
from app.registry.model import Project
from app.registry.pushes import Pushes, branch_of
from app.registry.registry import Registry
from app.registry.trail import fails
from app.stores.errors import RepositoryNotFoundError, ServiceBusyError
from app.stores.serving import GitService

ADDRESS = re.compile(r"(?P<project>.+?)(?:\.git)?/(?P<what>info/refs|git-upload-pack|git-receive-pack)\Z")
PROTOCOL = re.compile(r"[a-z0-9=:.-]{1,100}\Z")
FETCH, PUSH = "git-upload-pack", "git-receive-pack"
MOST_ASKED = 32 << 20
"""Bytes of a request to fetch: the ids of what the client wants and has."""
MOST_PUSHED = 512 << 20
"""Bytes of a push."""
CAPABILITIES = "report-status delete-refs ofs-delta side-band-64k object-format=sha1 agent=ml-registry"
HEADERS = {"cache-control": "no-cache, max-age=0, must-revalidate", "x-content-type-options": "nosniff"}


def git_routes(service: GitService | None) -> list[BaseRoute]:
    """Serve hosted projects under `/git/`; without a service, say that there is none."""
    return [Route("/git/{path:path}", GitEdge(service))]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request: whose, which project, what of it, for which of the two services."""

    identity: Identity
    project: Project
    what: str
    service: str


class GitEdge:
    """The endpoint, whatever the method."""

    def __init__(self, service: GitService | None) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with AsyncExitStack() as held:
            try:
                response = await self._answer(Request(scope, receive), held)
            except ClientDisconnect:
                response = _refused(Refusal(Code.BAD_REQUEST, "The request ended before its body did; send it again."))
            except Refusal as refusal:
                response = _refused(refusal)
            except ServiceBusyError as error:
                response = _refused(Refusal(Code.UNAVAILABLE, str(error), headers={"retry-after": "10"}))
            except RepositoryNotFoundError:
                response = _refused(Refusal(Code.NOT_FOUND, "The repository of this project is not there."))
            await response(scope, receive, send)

    async def _answer(self, request: Request, held: AsyncExitStack) -> ASGIApp:
        asked = await _admit(request)
        registry: Registry = request.app.state.registry
        if self._service is None or registry.pushes is None:
            message = "This server has no git on its PATH, which serving clones takes; install it, then start anew."
            raise Refusal(Code.UNAVAILABLE, message)
        protocol = request.headers.get("git-protocol", "")
        protocol = protocol if PROTOCOL.match(protocol) else ""
        if asked.what == "info/refs" and asked.service == FETCH:
            return _advertised(FETCH, await self._service.advertise(asked.project.name, protocol), protocol)
        if asked.what == "info/refs":
            if await registry.offload(self._service.full):
                raise no_room()
            refs = await registry.offload(_pushable, self._service, asked.project.name)
            return _advertised(PUSH, refs, "")
        file = await held.enter_async_context(self._service.draft(pushing=asked.what == PUSH))
        left = await receive(request, file, MOST_PUSHED if asked.what == PUSH else MOST_ASKED, self._service.full)
        file.seek(0)
        if asked.what == PUSH:
            return await _pushed(file, left, asked, registry.access, registry.pushes)
        if left:
            raise left
        fetching = self._service.fetch(asked.project.name, protocol, file)
        return _Stream(await held.enter_async_context(fetching), f"application/x-{FETCH}-result")


async def _admit(request: Request) -> _Asked:
    """The request, taken apart, from somebody who may make it. Raises Refusal."""
    match = ADDRESS.match(request.path_params["path"])
    if not match:
        raise Refusal(Code.NOT_FOUND, "A project is cloned from /git/<project>.")
    what, method = match["what"], "GET" if match["what"] == "info/refs" else "POST"
    if request.method != method:
        raise Refusal(Code.METHOD_NOT_ALLOWED, f"Git clients ask with {method} here.", headers={"allow": method})
    service = request.query_params.get("service", "") if method == "GET" else what
    if service not in {FETCH, PUSH}:
        raise Refusal(Code.FORBIDDEN, "Use a Git client that speaks the smart protocol, which is any since 1.6.6.")
    if method == "POST" and request.headers.get("content-type") != f"application/x-{service}-request":
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, f"Send application/x-{service}-request.")
    identity = await caller(request.app.state.sign_in, request.scope, BASIC)
    registry: Registry = request.app.state.registry
    name = match["project"]
    role = registry.access.role(identity, name)
    project = await registry.offload(registry.catalogue.look_up, name) if role >= Role.READER else None
    if project is None:
        raise Refusal(Code.NOT_FOUND, f"There is no project {name!r}; create it through the API first.")
    if service == PUSH and role < Role.WRITER:
        raise Refusal(Code.FORBIDDEN, f"To push takes the role {Role.WRITER} in {name}; yours is {role}.")
    if project.remote_url:
        raise Refusal(Code.FORBIDDEN, f"{project.name} lies elsewhere; clone and push there: {project.remote_url}")
    return _Asked(identity, project, what, service)


def _pushable(service: GitService, name: str) -> bytes:
    """Blocking. What a client is told before it pushes: where every ref is."""
    _, refs = service.refs(name)
    lines = [f"{oid} {ref}" for ref, oid in refs.items()] or [f"{NO_OBJECT} capabilities^{{}}"]
    lines[0] += f"\0{CAPABILITIES}"
    return b"".join(packet(f"{line}\n".encode()) for line in lines) + FLUSH


def _advertised(service: str, content: bytes, protocol: str) -> Response:
    if "version=2" not in protocol.split(":"):
        content = packet(f"# service={service}\n".encode()) + FLUSH + content
    return Response(content, headers=HEADERS, media_type=f"application/x-{service}-advertisement")


async def _pushed(file: BinaryIO, left: Refusal | None, asked: _Asked, access: Access, pushes: Pushes) -> Response:
    """Land a push that is here, so that nobody waits for its client; say why of one that was `left` on the way."""
    push = await asyncio.to_thread(read_push, file)
    if not push.updates:  # how clients see whether they may push before they send much
        answer = b""
    elif left:
        answer = write_report(push, str(left), dict.fromkeys([update.name for update in push.updates], "not kept"), ())
    else:
        protected = {
            update.name: reason
            for update in push.updates
            if (reason := access.refusal(asked.identity, asked.project.name, branch_of(update), by_git=True))
        }
        verdict = await pushes.push(asked.project, push.updates, file, protected)
        answer = write_report(push, verdict.pack, verdict.refused, verdict.remarks)
    return Response(answer, headers=HEADERS, media_type=f"application/x-{PUSH}-result")


class _Stream:
    """An answer sent as it comes. A client that stops reading is hung up on."""

    def __init__(self, parts: AsyncGenerator[bytes, None], media_type: str) -> None:
        self._parts = parts
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the parts end or the client leaves."""
        outlet = Outlet(send, scope)
        watch = asyncio.create_task(outlet.watch())
        try:
            async with aclosing(self._parts) as parts:
                await StreamingResponse(parts, headers=HEADERS, media_type=self._media_type)(scope, receive, outlet)
        finally:
            await cancel([watch])


def _refused(refusal: Refusal) -> Response:
    fails(refusal.code)
    return Response(
        f"{refusal.code}: {refusal}\n", refusal.status, {**HEADERS, **refusal.headers}, media_type="text/plain"
    )
