"""An OpenID Connect issuer: a small server that publishes its keys, and the tokens it signs with them."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

AUDIENCE = "ml-registry"
WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass
class Issuer:
    """What it publishes, how it answers (`moods`, by path), and what it was asked for."""

    url: str
    keys: dict[str, Key] = field(default_factory=dict)
    moods: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = {
            "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
            "ec": ECKey.generate_key("P-256", {"kid": "ec"}),
            "ed": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        }

    @property
    def documents(self) -> dict[str, Any]:
        """What it answers to a path."""
        published = [key.as_dict(private=False) for key in self.keys.values()]
        return {
            WELL_KNOWN: {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": published},
        }

    def claims(self, **others: Any) -> dict[str, Any]:
        """Those of a good token, with others; None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "248289761001", "iat": now, "exp": now + 600, **others}
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: str | Key = "ec", alg: str = "ES256", header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token signed with one of its keys, or with another."""
        return self.signed(json.dumps(self.claims(**claims)), key, alg, header)

    def signed(
        self, payload: str, key: str | Key = "ec", alg: str = "ES256", header: Mapping[str, Any] | None = None
    ) -> str:
        """Any text, signed."""
        own = self.keys[key] if isinstance(key, str) else key
        protected = {"alg": alg, "kid": own.kid, **(header or {})}
        return serialize_compact(
            {name: value for name, value in protected.items() if value is not None}, payload, own, registry=_ANYTHING
        )


class _Anything(JWSRegistry):
    """Signs whatever is asked for: issuers of tests may be evil."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Nothing is checked."""


_ANYTHING = _Anything()


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        self.issuer.asked.append(self.path)
        if mood := self.issuer.moods.get(self.path):
            mood(self)
            return
        found = self.issuer.documents.get(self.path)
        answer(self, 200 if found else 404, json.dumps(found).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing: a test's output is its own."""


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer a request."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer on this machine, for the time of a block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {})) as server:
        server.daemon_threads = True
        issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
        server.RequestHandlerClass.issuer = issuer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield issuer
        server.shutdown()
        thread.join()
