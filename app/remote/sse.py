"""Server-Sent Events, read from the bytes of an answer."""

from collections.abc import Iterable, Iterator


def messages(chunks: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """The messages, each with its name; comments, and what is cut off at the end, are left out."""
    name, data = "message", list[bytes]()
    for line in _lines(chunks):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                yield name, b"\n".join(data)
            name, data = "message", []
        elif field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines. They end at line feeds alone: other separators may stand in the JSON of a message."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
