"""Nodes: what can be asked for again by its id."""

import base64
import binascii
import json

import strawberry

from app.schema import described

COMPACT = json.JSONEncoder(separators=(",", ":")).encode


@described.interface
class Node:
    """Anything with an id of its own, unique over all types. `Query.node` finds it again."""

    @described.field
    def id(self) -> strawberry.ID:
        """Opaque and stable. Costs nothing."""
        return strawberry.ID(encode(*self.key()))

    def key(self) -> tuple[str, ...]:
        """The type's name and what names the value among its kind."""
        raise NotImplementedError


def encode(*key: str) -> str:
    """A node's id."""
    return base64.urlsafe_b64encode(COMPACT(key).encode()).decode().rstrip("=")


def decode(node_id: str) -> list[str]:
    """What an id names; empty when it is none."""
    try:
        key = json.loads(base64.urlsafe_b64decode(node_id + "=" * (-len(node_id) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return []
    return key if isinstance(key, list) and all(isinstance(part, str) for part in key) else []
