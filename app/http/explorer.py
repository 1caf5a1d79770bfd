"""The page at `/`: GraphiQL, built into a folder of the package by `make setup` and served from this origin alone."""

import re
from pathlib import Path

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

# No script, frame, form or request reaches beyond this origin. Two exceptions, both for Monaco: it writes its theme and
# the places of its lines into the page as inline styles, and the squiggles of its style sheet are images within it.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; "
    "img-src 'self' data:; "
    "font-src 'self'; "
    "worker-src 'self'; "
    "base-uri 'none'; "
    "frame-ancestors 'none'; "
    "form-action 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
# A worker is ruled by the policy it was served with, not by the page's: ours compute and ask for nothing.
ASSET_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
CACHED_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
CACHED_FOR_A_DAY = {"cache-control": "public, max-age=86400"}

# The build names a file by its content, so a name either fits this or was never built: no path is ever walked.
HASHED_NAME = re.compile(r"[a-z.]+-[A-Z0-9]{8}(\.js|\.css|\.ttf)")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf"}

NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ML Registry</title>
<h1>ML Registry</h1>
<p>The server is up and the API answers at <code>/graphql</code>. This page, the explorer, has not been built yet.</p>
<p>To build it, run <code>make setup</code> in the checkout with the npm registry in reach, then reload.</p>
</html>
"""


def routes(built: Path) -> list[BaseRoute]:
    """Serve the explorer at `/`, its files under `/explorer/` and the icon from `built`, the folder it was built into.

    While `built` holds no page, `/` says so and how to build it; the folder may appear while the server runs.
    """

    async def page(_request: Request) -> Response:
        index = built / "index.html"
        if not await anyio.Path(index).is_file():
            return HTMLResponse(NOT_BUILT, headers=PAGE_HEADERS)
        return FileResponse(index, headers=PAGE_HEADERS, media_type="text/html")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if match := HASHED_NAME.fullmatch(name):
            return await _file(built / name, MEDIA_TYPES[match.group(1)], CACHED_FOR_EVER)
        raise HTTPException(404)

    async def licences(_request: Request) -> Response:
        return await _file(built / "licences.txt", "text/plain", CACHED_FOR_A_DAY)

    async def icon(_request: Request) -> Response:
        return await _file(built / "favicon.svg", "image/svg+xml", CACHED_FOR_A_DAY)

    return [
        Route("/", page),
        Route("/explorer/licences.txt", licences),
        Route("/explorer/{name}", asset),
        Route("/favicon.svg", icon),
        Route("/favicon.ico", icon),
    ]


async def _file(path: Path, media_type: str, caching: dict[str, str]) -> Response:
    """The file with its headers; 404 where there is none."""
    if not await anyio.Path(path).is_file():
        raise HTTPException(404)
    return FileResponse(path, headers=ASSET_HEADERS | caching, media_type=media_type)
