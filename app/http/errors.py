"""How a failure is told to a caller: one closed list of codes, and a mask over everything nobody meant to say."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from graphql import FieldNode, GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError

from app.registry.errors import RateLimitedError
from app.resolvers.limits import LIMITS
from app.schema.limits import LIMIT_EXCEEDED

LOG = logging.getLogger("ml_registry")
MAX_ERRORS = LIMITS.errors
"""Errors one answer lists at most; the rest would say nothing new."""


class Code(StrEnum):
    """What `errors[].extensions.code` may say beside the codes of the registry's own refusals."""

    BAD_REQUEST = "BAD_REQUEST"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    INTERNAL = "INTERNAL"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    NOT_FOUND = "NOT_FOUND"
    HEAD_TOO_LARGE = "HEAD_TOO_LARGE"
    OPERATION_NOT_FOUND = "OPERATION_NOT_FOUND"
    OPERATION_TIMEOUT = "OPERATION_TIMEOUT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    QUERY_LIMIT_EXCEEDED = LIMIT_EXCEEDED
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    TOO_MANY_OPERATIONS = "TOO_MANY_OPERATIONS"
    TOO_MANY_SOCKETS = "TOO_MANY_SOCKETS"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"


STATUS: Mapping[str, int] = {
    Code.PERSISTED_QUERY_NOT_FOUND: 200,  # a step of a conversation, not its end: clients read on at no other status
    Code.BAD_REQUEST: 400,
    Code.GRAPHQL_PARSE_FAILED: 400,
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.NOT_ACCEPTABLE: 406,
    Code.REQUEST_TIMEOUT: 408,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.TOO_MANY_OPERATIONS: 429,
    Code.TOO_MANY_SOCKETS: 429,
    RateLimitedError.code: 429,
    Code.HEAD_TOO_LARGE: 431,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.OPERATION_TIMEOUT: 504,  # nobody is to take it for 503: what was asked for may be done
}
"""The HTTP status of a refusal by its code; 422 for every code that is not listed."""


class Refusal(Exception):  # noqa: N818  an answer to the caller, not a fault of the program
    """A request that is answered with errors and nothing else. `errors` are in the shape of a GraphQL response."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        errors: Sequence[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.errors = list(errors or [{"message": message, "extensions": {"code": str(code)}}])
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status that says the same."""
        return STATUS.get(self.code, 422)


def as_it_is(error: Exception) -> Exception:
    """The error itself."""
    return error


def no_details(error: Exception) -> Mapping[str, Any]:  # noqa: ARG001 (the shape of such a function)
    """Nothing beside the code."""
    return {}


@dataclass(frozen=True, slots=True)
class Mask:
    """Decides what of an error a caller sees.

    `public` are exceptions with a `code` and a text for callers; `details` are what else `extensions` say of one, and
    `told` is what callers are told of an error instead of it.
    """

    public: tuple[type[Exception], ...]
    details: Callable[[Exception], Mapping[str, Any]] = no_details
    told: Callable[[Exception], Exception] = as_it_is

    def request_errors(self, errors: Iterable[GraphQLError], code: Code) -> list[dict[str, Any]]:
        """Errors of a document or its variables: the caller's own, shown as they are, under `code` or their own."""
        return [_shown(error, (error.extensions or {}).get("code", code)) for error in list(errors)[:MAX_ERRORS]]

    def execution_errors(self, errors: Iterable[GraphQLError], request_id: str) -> list[dict[str, Any]]:
        """Errors of fields, each with its path. What is neither public nor about the caller's input is masked."""
        logged: list[Exception] = []
        return [self._field_error(error, request_id, logged) for error in errors][:MAX_ERRORS]

    def refusal(self, error: Exception, request_id: str) -> Refusal:
        """The answer to a request that ended in an exception: the exception itself when it is a refusal already."""
        if isinstance(error, Refusal):
            return error
        error = self.told(error)
        if isinstance(error, self.public):
            shown = {"message": str(error), "extensions": {"code": _code_of(error), **self.details(error)}}
            return Refusal(_code_of(error), str(error), errors=[shown])
        _log(error, request_id, "outside the fields")
        return Refusal(Code.INTERNAL, _MASKED.format(request_id), errors=[_masked({}, request_id)])

    def _field_error(self, error: GraphQLError, request_id: str, logged: list[Exception]) -> dict[str, Any]:
        cause = self.told(_cause(error))
        if isinstance(cause, self.public):
            extensions = {"code": _code_of(cause), **self.details(cause)}
            return {**error.formatted, "message": str(cause), "extensions": extensions}
        if isinstance(cause, GraphQLError) and _concerns_input(cause):
            return _shown(error, Code.BAD_USER_INPUT)
        if not any(cause is seen for seen in logged):  # one failed batch fails many fields
            logged.append(cause)
            _log(cause, request_id, ".".join(map(str, error.path or ())))
        return _masked(_shown(error, Code.INTERNAL), request_id)


_MASKED = "Something went wrong here; the request id is {}."


def _cause(error: GraphQLError) -> Exception:
    """What a resolver raised, or the innermost GraphQL error when no resolver raised anything."""
    while isinstance(error.original_error, GraphQLError):
        error = error.original_error
    return error.original_error or error


def _concerns_input(error: GraphQLError) -> bool:
    """GraphQL itself refused an argument's value. Everything else it reports at a field, and is the server's fault."""
    if isinstance(error, StrawberryInputCoercionError):
        return True
    return bool(error.nodes) and not any(isinstance(node, FieldNode) for node in error.nodes or ())


def _code_of(error: Exception) -> str:
    return str(getattr(error, "code", Code.INTERNAL))


def _shown(error: GraphQLError, code: str) -> dict[str, Any]:
    """The error with its place in the document and the answer, and no extension but the code."""
    return {**error.formatted, "extensions": {"code": str(code)}}


def _masked(shown: dict[str, Any], request_id: str) -> dict[str, Any]:
    extensions = {"code": str(Code.INTERNAL), "requestId": request_id}
    return {**shown, "message": _MASKED.format(request_id), "extensions": extensions}


def _log(error: Exception, request_id: str, place: str) -> None:
    LOG.error("request %s failed unexpectedly at %s", request_id, place, exc_info=error)
