"""What a store that speaks S3's language really does: asked with a few bytes, because no store says so."""

import base64
import hashlib
import logging
import secrets
from dataclasses import dataclass

from app.stores.objects.bucket import Bucket, status_of
from app.stores.objects.leftovers import PROBE

BODY = b"ML Registry"
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
OTHER = base64.b64encode(hashlib.sha256(b"").digest()).decode()
BAD_REQUEST, PRECONDITION_FAILED, NOT_IMPLEMENTED = 400, 412, 501
log = logging.getLogger("ml_registry.objects")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the store does of what links ask for.

    `once`: it honours `If-None-Match: *`. `checks`: it refuses bytes of another sha-256 than was signed. `tells`: it
    says the sha-256 of what it has.
    """

    once: bool
    checks: bool
    tells: bool

    def lacks(self) -> list[str]:
        """What it does not do, and what follows from that, a clause each."""
        clauses = {
            "it does not check sha-256, so every object is sent in parts and read here once": self.checks,
            "it ignores If-None-Match, so a link may send its bytes more than once": self.once,
            "it does not tell sha-256, so bytes that others change are noticed by their size alone": self.tells,
        }
        return [clause for clause, able in clauses.items() if not able]


async def probe(bucket: Bucket) -> Abilities:
    """Write a small object, look at it and delete it. Raises ObjectsUnavailableError."""
    key = bucket.key(PROBE, secrets.token_hex(8))
    checks = await _status(bucket, Key=key, Body=BODY, ChecksumSHA256=OTHER) == BAD_REQUEST
    await bucket.ask("put_object", Key=key, Body=BODY, ChecksumSHA256=SHA256)
    once = await _status(bucket, Key=key, Body=BODY, IfNoneMatch="*") == PRECONDITION_FAILED
    found = await bucket.ask("head_object", Key=key, ChecksumMode="ENABLED") or {}
    await bucket.ask("delete_object", Key=key)
    able = Abilities(once, checks, found.get("ChecksumSHA256") == SHA256)
    if lacking := able.lacks():
        log.warning("the bucket %s does less than S3: %s", bucket.address.bucket, "; ".join(lacking))
    else:
        log.info("the bucket %s does all that is asked of it", bucket.address.bucket)
    return able


async def _status(bucket: Bucket, **put: object) -> int:
    """What a PUT is answered that S3 itself refuses."""
    return status_of(await bucket.answer("put_object", (BAD_REQUEST, PRECONDITION_FAILED, NOT_IMPLEMENTED), **put))
