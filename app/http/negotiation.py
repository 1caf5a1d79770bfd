"""Which media type a request is in, and which one its answer may have."""

from dataclasses import dataclass

from app.http.errors import Code, Refusal
from app.http.headers import Values

RESPONSE_JSON = "application/graphql-response+json"
PLAIN_JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client takes: the better kind of JSON (None: neither), an event stream, and whether rather the latter."""

    json: str | None
    stream: bool
    prefers_stream: bool


def check_content_type(headers: Values) -> None:
    """The body has to be exactly JSON in UTF-8: anything else a browser may send unasked. Raises Refusal."""
    media_type, parameters = _parse(headers[0]) if len(headers) == 1 else ("", {})
    if media_type != PLAIN_JSON or parameters.get("charset", "utf-8").lower() != "utf-8":
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the request as 'Content-Type: application/json'.")


def negotiate(headers: Values) -> Accepted:
    """What the Accept headers ask for; without any, everything is welcome. Raises Refusal.

    `*/*` stands for JSON only, and for plain JSON where it is all that covers either kind: clients that say it without
    thinking may know no other. A client that reads event streams says so.
    """
    ranges = _ranges(headers)
    if not any(headers):
        return Accepted(RESPONSE_JSON, stream=False, prefers_stream=False)
    response, plain = _quality(ranges, RESPONSE_JSON), _quality(ranges, PLAIN_JSON)
    stream = _quality({name: quality for name, quality in ranges.items() if name != "*/*"}, EVENT_STREAM)
    best = max(response, plain)
    if not best and not stream:
        offered = f"{RESPONSE_JSON}, {PLAIN_JSON} and {EVENT_STREAM}"
        raise Refusal(Code.NOT_ACCEPTABLE, f"Answers come as {offered}; accept one of them.")
    unnamed = ranges.keys().isdisjoint({RESPONSE_JSON, PLAIN_JSON, "application/*"})
    chosen = PLAIN_JSON if unnamed or plain > response else RESPONSE_JSON
    return Accepted(chosen if best else None, stream=stream > 0, prefers_stream=stream > best)


def _ranges(headers: Values) -> dict[str, float]:
    """The media ranges by name with their quality; one whose quality makes no sense is not there."""
    ranges = {}
    for item in ",".join(headers).split(","):
        name, parameters = _parse(item)
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            continue
        if name and 0 <= quality <= 1:
            ranges[name] = quality
    return ranges


def _quality(ranges: dict[str, float], media_type: str) -> float:
    """How welcome a type is, from 0 (refused) to 1: the most specific range that covers it decides."""
    family = media_type.partition("/")[0]
    names = (media_type, f"{family}/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _parse(header: str) -> tuple[str, dict[str, str]]:
    """A media type or range in lower case, and its parameters, unquoted."""
    name, *rest = (part.strip() for part in header.split(";"))
    pairs = (part.partition("=") for part in rest)
    return name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
