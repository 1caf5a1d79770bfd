"""Header values made from what users wrote: always well-formed, never able to say anything else."""

import base64
import re
from urllib.parse import quote

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?: ?; ?{_WORD}=(?:{_WORD}|{_QUOTED}))*\Z")
_MAX_MEDIA_TYPE = 255
_UNSAFE_IN_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]")
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"


def media_type(text: str) -> str:
    """`text` when it is a media type (RFC 9110 §8.3.1), otherwise `application/octet-stream`."""
    if len(text) <= _MAX_MEDIA_TYPE and _MEDIA_TYPE.match(text):
        return text
    return "application/octet-stream"


def content_disposition(filename: str | None) -> str:
    """The Content-Disposition of a download (RFC 6266), plain ASCII for old clients and UTF-8 for the others."""
    if not filename:
        return "attachment"
    name = _UNSAFE_IN_NAME.sub("_", filename)
    plain = re.sub(r'[^\x20-\x7e]|["%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS)}"


def checksum(sha256: str) -> str:
    """A sha-256 as S3's headers write it: base64 of its bytes."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()
