"""Webhooks: a Git host says that a repository changed, and is believed no further: Git itself is asked what did."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from app.http.body import decode_json, read_body
from app.http.errors import Code, Refusal
from app.http.headers import values_of
from app.http.negotiation import check_content_type
from app.registry.registry import Registry
from app.registry.trail import fails

SIGNING = b"whsec_"
"""How a secret begins that GitLab signs with; the key follows in base64, as Standard Webhooks has it."""
FORM = "application/x-www-form-urlencoded"
URL_MEMBERS = ("clone_url", "ssh_url", "git_http_url", "git_ssh_url")
MAX_URL = 2048


def hook_routes(secret: str | None) -> list[BaseRoute]:
    """Take webhooks signed with `secret` under `/hooks/`; None takes none and says how to.

    `POST /hooks/{host}` hints the projects whose remote the payload names, `POST /hooks/{host}/{project}` that project
    whatever the payload names. The answer is `{"projects": n}` with 202, with 200 to a ping; a refusal is
    `{"errors": [{"message", "extensions": {"code"}}]}`.
    """
    hooks = Hooks(secret)
    return [Route("/hooks/{host}", hooks), Route("/hooks/{host}/{project:path}", hooks)]


class Hooks:
    """The endpoint, whatever the method."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. The fetch happens after."""
        try:
            response = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            response = _refused(Refusal(Code.BAD_REQUEST, "The request ended before its body did; send it again."))
        except Refusal as refusal:
            response = _refused(refusal)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> JSONResponse:
        if self._secret is None:
            message = "This server takes no webhooks; set REGISTRY_HOOK_SECRET, then start it anew."
            raise Refusal(Code.NOT_FOUND, message)
        urls = _urls(await _signed_payload(request, self._secret.encode()))
        registry: Registry = request.app.state.registry
        if name := request.path_params.get("project"):
            project = registry.catalogue.get(name)
            urls = {project.remote_url} if project and project.remote_url else set()
        is_ping = request.headers.get("x-github-event") == "ping"
        return JSONResponse({"projects": registry.hint(urls)}, 200 if is_ping else 202)


async def _signed_payload(request: Request, secret: bytes) -> Any:
    """The JSON in a request, once its bytes are known to be the host's. Raises Refusal."""
    host = request.path_params["host"]
    if host not in HOSTS:
        raise Refusal(Code.NOT_FOUND, f"Webhooks come to {', '.join(f'/hooks/{name}' for name in HOSTS)}.")
    if request.method != "POST":
        raise Refusal(Code.METHOD_NOT_ALLOWED, "Send webhooks with POST.", headers={"allow": "POST"})
    is_form = host == "github" and request.headers.get("content-type", "").startswith(FORM)
    if not is_form:
        check_content_type(values_of(request.scope, b"content-type"))
    body = await read_body(request.scope, request.receive)
    if not HOSTS[host](secret, request.headers, body):
        message = f"REGISTRY_HOOK_SECRET did not sign this: enter it at {host} once more."
        raise Refusal(Code.UNAUTHENTICATED, message)
    return decode_json(_field(body) if is_form else body)


def _by_github(secret: bytes, headers: Headers, body: bytes) -> bool:
    return _equal(headers.get("x-hub-signature-256"), b"sha256=" + _hex(secret, body))


def _by_gitea(secret: bytes, headers: Headers, body: bytes) -> bool:
    """Forgejo names the header after itself, and sends Gitea's too."""
    expected = _hex(secret, body)
    names = ("x-gitea-signature", "x-forgejo-signature")
    return any(_equal(headers.get(name), expected) for name in names) or _by_github(secret, headers, body)


def _by_gitlab(secret: bytes, headers: Headers, body: bytes) -> bool:
    """A signature alone decides where there is one; GitLab before 19 sends the secret itself and signs nothing.

    The time in the signature is not looked at: an old hint does no harm.
    """
    signatures = headers.get("webhook-signature")
    if signatures is None:
        return _equal(headers.get("x-gitlab-token"), secret)
    named = [headers.get(name, "").encode("latin-1") for name in ("webhook-id", "webhook-timestamp")]
    key = _signing_key(secret)
    expected = b"v1," + base64.b64encode(hmac.digest(key, b".".join([*named, body]), "sha256"))
    return bool(key) and any(_equal(signature, expected) for signature in signatures.split())


HOSTS: Mapping[str, Callable[[bytes, Headers, bytes], bool]] = {
    "gitlab": _by_gitlab,
    "github": _by_github,
    "gitea": _by_gitea,
}
"""Whether a host signed a body with the secret, by the host's name."""


def _signing_key(secret: bytes) -> bytes:
    """The key in a secret that GitLab signs with; empty when it is another, and nothing can be signed with it."""
    try:
        return base64.b64decode(secret.removeprefix(SIGNING), validate=True) if secret.startswith(SIGNING) else b""
    except binascii.Error:
        return b""


def _hex(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def _equal(given: str | None, expected: bytes) -> bool:
    """In a time that tells nothing of where they differ."""
    return given is not None and hmac.compare_digest(given.encode("latin-1"), expected)


def _field(form: bytes) -> str:
    """The payload in a form, which is JSON again. Raises Refusal."""
    try:
        fields = dict(parse_qsl(form.decode("ascii"), errors="strict"))
    except ValueError as error:
        raise Refusal(Code.BAD_REQUEST, "The form is not valid UTF-8; encode it so.") from error
    if "payload" not in fields:
        raise Refusal(Code.BAD_REQUEST, "The form has no field 'payload'.")
    return fields["payload"]


def _urls(payload: Any) -> Collection[str]:
    """Where the repository a payload is about can be cloned from, as each host names it. Raises Refusal."""
    if not isinstance(payload, dict):
        raise Refusal(Code.BAD_REQUEST, "The payload of a webhook is a JSON object.")
    nouns = [noun for noun in map(payload.get, ("repository", "project")) if isinstance(noun, dict)]
    named = [noun.get(member) for noun in nouns for member in URL_MEMBERS]
    return {url for url in named if isinstance(url, str) and len(url) <= MAX_URL}


def _refused(refusal: Refusal) -> JSONResponse:
    fails(refusal.code)
    return JSONResponse({"errors": refusal.errors}, refusal.status, refusal.headers)
