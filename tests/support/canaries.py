"""Canaries: secrets that no output may ever hold, given to every server that the tests start."""

from collections.abc import Iterator, Mapping
from pathlib import Path

SEEDED: Mapping[str, str] = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws-9b1c7d52e0",
    "AWS_SESSION_TOKEN": "canary-session-4f7a80c3d1",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=canary-otlp-2e6d91b7f4",
}
"""Settings that a server does not use unless it is told where to."""
COOKIE = "canary-cookie-70d3e5a1c8"
"""What the tests' own client shows with everything it asks for."""
MARK = "canary-"


def seeded(environment: Mapping[str, str]) -> dict[str, str]:
    """The canaries for a server whose test does not set the same. Keys of a cloud go together."""
    own = any(name.startswith("AWS_") for name in environment)
    return {name: value for name, value in SEEDED.items() if not (own and name.startswith("AWS_"))}


def heard(text: bytes) -> list[str]:
    """The canaries in an output."""
    known = [*(value.rpartition("=")[2] for value in SEEDED.values()), COOKIE]
    return [canary for canary in known if canary.encode() in text]


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, with what is in it."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
