"""The scalars: how values that GraphQL has no name for are written."""

import re
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)
Digest = NewType("Digest", str)
GitObjectID = NewType("GitObjectID", str)
GitRevision = NewType("GitRevision", str)
HEAD = GitRevision("HEAD")
JSON = NewType("JSON", object)
URL = NewType("URL", str)

INTEGER = re.compile(r"-?[0-9]{1,19}\Z")


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise GraphQLError("A DateTime is written like 2026-01-31T12:00:00Z.") from error
    if moment.tzinfo is None:
        raise GraphQLError("A DateTime names its offset; write Z for UTC.")
    return moment


def _big_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and INTEGER.match(value):
        return int(value)
    raise GraphQLError("A BigInt is a whole number, as digits in a string or as an integer.")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise GraphQLError("Write this value as a string.")


def unchanged(value: Any) -> Any:
    """A value as it is. Of JSON: manifests hold no number that JSON has not."""
    return value


def _json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    return value_from_ast_untyped(node, variables)


def _string(name: str, description: str) -> ScalarDefinition:
    return strawberry.scalar(name=name, description=description, serialize=str, parse_value=_text)


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment as RFC 3339 writes it, in UTC: `2026-01-31T12:00:00Z`.",
        serialize=_rfc3339,
        parse_value=_moment,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of up to 64 bits: digits in a string on output, such a string or an Int on input.",
        serialize=str,
        parse_value=_big_int,
    ),
    Digest: _string("Digest", "The sha-256 of some bytes: `sha256:` and 64 lowercase hexadecimal digits."),
    GitObjectID: _string("GitObjectID", "The full id of a Git commit: 40 lowercase hexadecimal digits."),
    GitRevision: _string(
        "GitRevision",
        "A name for a commit: `HEAD`, a branch, `refs/heads/x`, a tag or a full commit id, each optionally followed by "
        "`~n` for its n-th first parent.",
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value, given and taken as it is.",
        serialize=unchanged,
        parse_value=unchanged,
        parse_literal=_json_literal,
    ),
    URL: _string("URL", "An absolute URL."),
}
