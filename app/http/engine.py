"""Runs GraphQL documents against the schema: parsed and checked once, executed often, errors fit to be shown."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from inspect import isawaitable
from typing import Any, TypeAlias, cast

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    specified_rules,
    subscribe,
    validate,
)
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.http.errors import MAX_ERRORS, Code, Mask, Refusal
from app.resolvers.limits import Limits
from app.schema.limits import check_limits

Result: TypeAlias = dict[str, Any]
"""A GraphQL response: `data`, unless the request was refused, and `errors`, when there are any."""

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
KEPT_DOCUMENTS = 256
KEPT_LENGTH = 16 * 1024
"""Characters of a document that is worth keeping; longer ones carry their values inside and never come again."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A checked document and the one operation of it to run. `name` is None when it is the only one."""

    document: DocumentNode
    kind: OperationType
    name: str | None


class Engine:
    """Executes operations. `public` are the exceptions whose `code` and text callers may see."""

    def __init__(self, schema: strawberry.Schema, limits: Limits, public: tuple[type[Exception], ...] = ()) -> None:
        self._schema = schema._schema  # noqa: SLF001  Strawberry names its graphql-core schema no other way
        self._limits = limits
        self._mask = Mask(public)
        self._options: dict[str, Any] = {
            "executor_class": schema.execution_context_class,
            "is_awaitable": optimized_is_awaitable,
        }
        self._checked = lru_cache(KEPT_DOCUMENTS)(self._check)

    def prepare(self, query: str, operation_name: str | None = None) -> Operation:
        """The operation to run. Raises Refusal for what does not parse, validate or name exactly one operation."""
        document = self._checked(query) if len(query) <= KEPT_LENGTH else self._check(query)
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        if operation_name:
            operations = [node for node in operations if node.name and node.name.value == operation_name]
            if not operations:
                message = f"The document has no operation {operation_name!r}; name one that it has."
                raise Refusal(Code.OPERATION_NOT_FOUND, message)
        if len(operations) != 1:
            message = f"The document has {len(operations)} operations; say which one to run in 'operationName'."
            raise Refusal(Code.OPERATION_NOT_FOUND, message)
        return Operation(document, operations[0].operation, operation_name or None)

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any], context: object, request_id: str
    ) -> Result:
        """Run a query or a mutation."""
        result = execute(self._schema, operation.document, **self._arguments(operation, variables, context))
        return self._result(await result if isawaitable(result) else result, request_id)

    async def stream(
        self, operation: Operation, variables: Mapping[str, Any], context: object, request_id: str
    ) -> AsyncGenerator[Result, None]:
        """The results of an operation of any kind; a query or a mutation has one. Close it to stop a subscription.

        Raises what the source of the subscription's events raises: turn it into an answer with `refusal`.
        """
        if operation.kind is not OperationType.SUBSCRIPTION:
            yield await self.execute(operation, variables, context, request_id)
            return
        source = subscribe(self._schema, operation.document, **self._arguments(operation, variables, context))
        events = await source if isawaitable(source) else source
        if isinstance(events, ExecutionResult):
            yield self._result(events, request_id)
            return
        async with aclosing(cast("AsyncGenerator[ExecutionResult, None]", events)) as results:
            async for result in results:
                yield self._result(result, request_id)

    def refusal(self, error: Exception, request_id: str) -> Refusal:
        """What to answer when a request ended in an exception. What nobody expected is logged here and masked."""
        return self._mask.refusal(error, request_id)

    def _check(self, query: str) -> DocumentNode:
        try:
            document = parse(query, max_tokens=self._limits.query_tokens)
        except GraphQLError as error:
            raise self._refused(Code.GRAPHQL_PARSE_FAILED, [error]) from error
        errors = check_limits(self._schema, document, self._limits) or validate(
            self._schema, document, RULES, max_errors=MAX_ERRORS
        )
        if errors:
            raise self._refused(Code.GRAPHQL_VALIDATION_FAILED, errors)
        return document

    def _refused(self, code: Code, errors: list[GraphQLError]) -> Refusal:
        return Refusal(code, errors[0].message, errors=self._mask.request_errors(errors, code))

    def _arguments(self, operation: Operation, variables: Mapping[str, Any], context: object) -> dict[str, Any]:
        return {
            "variable_values": dict(variables),
            "operation_name": operation.name,
            "context_value": context,
            **self._options,
        }

    def _result(self, result: ExecutionResult, request_id: str) -> Result:
        if not result.errors:
            return {"data": result.data}
        if result.data is None and all(error.path is None for error in result.errors):
            return {"errors": self._mask.request_errors(result.errors, Code.BAD_USER_INPUT)}
        return {"data": result.data, "errors": self._mask.execution_errors(result.errors, request_id)}
