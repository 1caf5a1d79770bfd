"""AWS Signature Version 4 from the other end: whether a request was signed by whoever holds the secret."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

UNSIGNED = "UNSIGNED-PAYLOAD"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>\S+), SignedHeaders=(?P<signed>\S+), Signature=(?P<signature>\w+)\Z"
)


class RefusedError(Exception):
    """What S3 answers instead: a status, and a code in XML."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.status = status
        self.code = code


def verify(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret: str) -> None:
    """Raises RefusedError for a request that is not as it was signed, or too late.

    `path` and `query` are as they were sent; the names of `headers` are lowercase.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if "X-Amz-Signature" in given:
        credential, signed = given.get("X-Amz-Credential", ""), given.get("X-Amz-SignedHeaders", "")
        signature, at, payload = given["X-Amz-Signature"], given.get("X-Amz-Date", ""), UNSIGNED
        _in_time(at, int(given.get("X-Amz-Expires", "0")))
        pairs = [(name, value) for name, value in pairs if name != "X-Amz-Signature"]
    elif match := AUTHORIZATION.match(headers.get("authorization", "")):
        credential, signed, signature = match["credential"], match["signed"], match["signature"]
        at, payload = headers.get("x-amz-date", ""), headers.get("x-amz-content-sha256", "")
        _in_time(at, 900)
    else:
        raise RefusedError(403, "AccessDenied", "nobody signed this")
    names = signed.split(";")
    if "host" not in names or any(name.startswith("x-amz-") and name not in names for name in headers):
        raise RefusedError(403, "AccessDenied", "there are headers that were not signed")
    canonical = _canonical(method, path, pairs, [(name, headers.get(name, "")) for name in names], payload)
    if not hmac.compare_digest(_signature(secret, credential, at, canonical), signature):
        raise RefusedError(403, "SignatureDoesNotMatch", f"not what was signed:\n{canonical}")
    if payload not in {UNSIGNED, hashlib.sha256(body).hexdigest()}:
        raise RefusedError(400, "XAmzContentSHA256Mismatch")


def _in_time(at: str, seconds: int) -> None:
    if not 1 <= seconds <= 7 * 24 * 3600:
        raise RefusedError(400, "AuthorizationQueryParametersError")
    signed = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if datetime.now(UTC) >= signed + timedelta(seconds=seconds):
        raise RefusedError(403, "AccessDenied", "Request has expired")


def _canonical(
    method: str, path: str, pairs: list[tuple[str, str]], headers: list[tuple[str, str]], payload: str
) -> str:
    query = "&".join(
        "=".join(pair) for pair in sorted((quote(name, "-_.~"), quote(value, "-_.~")) for name, value in pairs)
    )
    lines = [f"{name}:{' '.join(value.split())}" for name, value in headers]
    names = ";".join(name for name, _ in headers)
    return "\n".join([method, quote(unquote(path), "/-_.~"), query, *lines, "", names, payload])


def _signature(secret: str, credential: str, at: str, canonical: str) -> str:
    scope = credential.partition("/")[2]
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), hashlib.sha256)
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()
