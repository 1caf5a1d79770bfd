"""Headers that claim to be somebody."""

import base64
import json
from collections.abc import Iterator

from tests.support.hostile.day import Hostile, brief, hostile
from tests.support.server import Server

REFUSED = "401 UNAUTHENTICATED"
QUERY = b'{"query":"{ __typename }"}'


def jwt(header: object, claims: object, signature: bytes = b"") -> str:
    """A token of these parts."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


CLAIMS = {"sub": "root", "iss": "https://evil.example", "aud": "registry", "exp": 9999999999}
TOKENS = [
    ("nothing", ""),
    ("no scheme", "x"),
    ("Bearer alone", "Bearer"),
    ("Basic that is no base64", "Basic !!!!"),
    ("Basic without a colon", "Basic " + base64.b64encode(b"admin").decode()),
    ("Basic that is no UTF-8", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()),
    ("Basic of root", "Basic " + base64.b64encode(b"root:root").decode()),
    ("a token nobody made", "Bearer mlr_" + "a" * 43),
    ("a token that is too short", "Bearer mlr_"),
    ("a token of 50 000 letters", "Bearer mlr_" + "a" * 50_000),
    ("a token with a path in it", "Bearer mlr_../../access.yml"),
    ("a JWT without a signature", "Bearer " + jwt({"alg": "none"}, CLAIMS)),
    ("a JWT signed with nothing", "Bearer " + jwt({"alg": "HS256"}, CLAIMS, b"\0" * 32)),
    ("a JWT whose key is a URL", "Bearer " + jwt({"alg": "RS256", "jku": "http://169.254.169.254/"}, CLAIMS, b"x" * 256)),
    ("a JWT whose kid is a path", "Bearer " + jwt({"alg": "RS256", "kid": "../../../dev/null"}, CLAIMS, b"x" * 256)),
    ("a JWT with its own key", "Bearer " + jwt({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, CLAIMS, b"x" * 32)),
    ("a JWT that is packed", "Bearer " + jwt({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}, CLAIMS)),
    ("a JWT that must be understood", "Bearer " + jwt({"alg": "RS256", "crit": ["exp"], "b64": False}, CLAIMS)),
    ("a JWT that has expired", "Bearer " + jwt({"alg": "RS256"}, {**CLAIMS, "exp": 1}, b"x" * 256)),
    ("a JWT whose expiry is no number", "Bearer " + jwt({"alg": "RS256"}, {**CLAIMS, "exp": "later"}, b"x" * 256)),
    ("a JWT of lists", "Bearer " + jwt([], [[]])),
    ("a JWT of 40 000 characters", "Bearer " + jwt({"alg": "RS256"}, {**CLAIMS, "x": "y" * 30_000}, b"x")),
    ("a JWT nested deep", "Bearer " + ".".join([base64.urlsafe_b64encode(b"[" * 12_000).decode().rstrip("=")] * 3)),
    ("dots", "Bearer " + "." * 5000),
    ("a token with letters beyond ASCII", "Bearer \xff\xfe"),
]  # fmt: skip


def inputs() -> Iterator[Hostile]:
    """All of them. Where nobody signs in a claim changes nothing; where callers do, none of these lets anybody in."""
    for name, value in TOKENS:
        yield hostile(f"token: {name}", lambda target, value=value: claim(target.server, value), "200")
        yield hostile(f"token at the gate: {name}", lambda target, value=value: claim(target.gate, value), REFUSED)
    yield hostile("token at the gate: two of them", lambda target: claim(target.gate, "Bearer a", "Bearer b"), REFUSED)
    yield hostile("token at the gate: in the address", lambda target: address(target.gate), REFUSED)


def claim(server: Server, *values: str) -> str:
    """The answer to whoever says who they are, in short."""
    headers = [(b"content-type", b"application/json"), *((b"authorization", one.encode("latin-1")) for one in values)]
    return brief(server.client.post("/graphql", content=QUERY, headers=headers))


def address(server: Server) -> str:
    return brief(server.client.get("/graphql?query={__typename}&access_token=mlr_x&token=mlr_x"))
