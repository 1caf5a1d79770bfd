"""Bytes to and from a server, where no client would send them."""

import socket
import struct
from urllib.parse import urlsplit

PATIENCE = 10.0
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def exchange(url: str, *parts: bytes) -> bytes:
    """All that the server answers to these bytes until it closes, each part sent when something came of the one before.

    `HOST` in them is the server's own name.
    """
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        received = b""
        for part in parts:
            received += connection.recv(1 << 16) if part is not parts[0] else b""
            connection.sendall(part.replace(b"HOST", address.netloc.encode()))
        try:
            while chunk := connection.recv(1 << 16):
                received += chunk
        except ConnectionResetError:  # it closed before it had read all
            pass
        return received


def frame(kind: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    """One frame of a WebSocket, from a client unless it is not `masked`; `bits` are the reserved ones."""
    head = bytes([fin << 7 | bits << 4 | kind])
    return head + length(len(payload), masked=masked) + (bytes(4) if masked else b"") + payload


def length(size: int, *, masked: bool = True) -> bytes:
    """The length of a frame, in as many bytes as it takes."""
    mask = masked << 7
    if size < 126:
        return bytes([mask | size])
    return struct.pack("!BH", mask | 126, size) if size < 1 << 16 else struct.pack("!BQ", mask | 127, size)


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """The frames a server sent, by their kind."""
    found = []
    while received:
        size, start = received[1], 2
        if size == 126:
            size, start = struct.unpack("!H", received[2:4])[0], 4
        elif size == 127:
            size, start = struct.unpack("!Q", received[2:10])[0], 10
        found.append((received[0] & 15, received[start : start + size]))
        received = received[start + size :]
    return found
