"""Runs GraphQL documents against the schema: parsed and checked once, executed often, errors fit to be shown."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache, partial
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
    validate,
)
from graphql.execution import Executor, create_source_event_stream, execute_subscription_event
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.http.body import encode_json
from app.http.broadcast import Answers, shape, shaping
from app.http.errors import MAX_ERRORS, Code, Mask, Refusal, as_it_is, no_details
from app.http.lasting import lasting
from app.http.plans.plan import Plans
from app.http.plans.texts import Texts
from app.http.within import within
from app.logs import without_secrets
from app.registry.background import Background
from app.registry.trail import About, fails
from app.resolvers.limits import Limits
from app.schema.limits import LIMIT_EXCEEDED, Inputs, check_limits, check_values, inputs

Result: TypeAlias = dict[str, Any]
"""A GraphQL response: `data`, unless the request was refused, and `errors`, when there are any."""

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
IS_AWAITABLE: Any = optimized_is_awaitable  # the same predicate that Strawberry uses, which types it more loosely
KEPT_DOCUMENTS = 256
KEPT_LENGTH = 16 * 1024
"""Characters of a document that is worth keeping; longer ones carry their values inside and never come again."""

_TOOK_TOO_LONG = "The query took longer than {:g} s and was ended; ask for less at once, or try again later."
_GOES_ON = (
    "The mutation takes longer than {:g} s and goes on: it may be done soon, or fail. Send it again with the same "
    "idempotencyKey, which answers what became of it; without one, look before you send it again."
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A checked document and the one operation of it to run. `name` is None when it is the only one.

    `shaping` are the variables that may shape its answers to events, `inputs` those that may hold many values; `plans`
    answer it without graphql-core. What a `lasting` one answers follows from Git alone.
    """

    text: str
    document: DocumentNode
    kind: OperationType
    name: str | None
    shaping: frozenset[str]
    inputs: Inputs
    lasting: bool
    about: About
    plans: Plans | None = None


class Engine:
    """Executes operations.

    `public` are the exceptions whose `code` and text callers may see; `details` says what else of one they may,
    and `told` what they are told of instead of an error.
    Contexts that are equal get equal answers to an event, so it is answered once for all of them. With `plans`, a query
    that comes again is compiled, which changes nothing but how long it takes.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        public: tuple[type[Exception], ...] = (),
        details: Callable[[Exception], Mapping[str, Any]] = no_details,
        told: Callable[[Exception], Exception] = as_it_is,
        *,
        plans: bool = True,
    ) -> None:
        self._plans = partial(Plans, schema, Texts()) if plans else None
        self._schema = schema._schema  # noqa: SLF001  Strawberry names its graphql-core schema no other way
        self._executor_class = cast("type[Executor[Any]]", schema.execution_context_class)
        self._limits = limits
        self._mask = Mask(public, details, told)
        self._answers = Answers()
        self._landing = Background()
        self._kept = lru_cache(KEPT_DOCUMENTS)(self._prepare)

    def prepare(self, query: str, operation_name: str | None = None) -> Operation:
        """The operation to run. Raises Refusal for what does not parse, validate or name exactly one operation."""
        return (self._kept if len(query) <= KEPT_LENGTH else self._prepare)(query, operation_name or None)

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any], context: object, request_id: str
    ) -> Result:
        """Run a query or a mutation. Raises Refusal for one that holds too much, or takes too long.

        A mutation is not ended for that, nor when whoever asked leaves: what it began is done, or not, as a whole.
        """
        self._check_values(operation, variables)
        running, seconds = self._run(operation, variables, context, request_id), self._limits.operation_seconds
        if operation.kind is OperationType.MUTATION:
            if done := await self._landing.wait(running, seconds):
                return done
            raise Refusal(Code.OPERATION_TIMEOUT, _GOES_ON.format(seconds))
        try:
            return await within(seconds, running)
        except TimeoutError as error:
            raise Refusal(Code.OPERATION_TIMEOUT, _TOOK_TOO_LONG.format(seconds)) from error

    async def finish(self, seconds: float) -> None:
        """Wait for mutations that nobody waits for any more, but no longer than this."""
        await self._landing.finish(seconds)

    async def _run(
        self, operation: Operation, variables: Mapping[str, Any], context: object, request_id: str
    ) -> Result:
        try:
            if operation.plans and (data := await operation.plans.answer(variables, context)) is not None:
                return {"data": data}
            result = execute(
                self._schema,
                operation.document,
                context_value=context,
                variable_values=dict(variables),
                operation_name=operation.name,
                executor_class=self._executor_class,
                max_coercion_errors=MAX_ERRORS,
                is_awaitable=IS_AWAITABLE,
            )
            return self._result(await result if isawaitable(result) else result, request_id)
        except asyncio.CancelledError as error:
            raise _stray(error) from error

    async def stream(
        self, operation: Operation, variables: Mapping[str, Any], context: object, request_id: str
    ) -> AsyncGenerator[bytes, None]:
        """The answers to an operation of any kind, as JSON; a query or a mutation has one. Close it to stop.

        Raises Refusal for what is not executed at all, and what the source of a subscription's events raises: turn
        that into an answer with `refusal`.
        """
        if operation.kind is not OperationType.SUBSCRIPTION:
            yield _encoded(await self.execute(operation, variables, context, request_id))
            return
        self._check_values(operation, variables)
        executor = self._executor_class.build(
            self._schema,
            operation.document,
            context_value=context,
            raw_variable_values=dict(variables),
            operation_name=operation.name,
            max_coercion_errors=MAX_ERRORS,
            is_awaitable=IS_AWAITABLE,
        )
        if isinstance(executor, list):
            raise self._refused(Code.BAD_USER_INPUT, executor)
        source = create_source_event_stream(executor)
        events = await source if isawaitable(source) else source
        if isinstance(events, ExecutionResult):
            yield _encoded(self._result(events, request_id))
            return
        asked = operation.text, operation.name, shape(operation.shaping, variables), context
        audience = self._answers.audience(asked)
        async with aclosing(cast("AsyncGenerator[Any, None]", events)) as those:
            async for event in those:
                yield await self._answers.to(audience, event, partial(self._answer, executor, event, request_id))

    def refusal(self, error: Exception, request_id: str) -> Refusal:
        """What to answer when a request ended in an exception. What nobody expected is logged here and masked."""
        refusal = self._mask.refusal(error, request_id)
        fails(refusal.code)
        return refusal

    def _answer(self, executor: Executor[Any], event: object, request_id: str) -> bytes | Awaitable[bytes]:
        result = execute_subscription_event(executor.build_per_event_executor(event))
        if not isawaitable(result):
            return _encoded(self._result(result, request_id))

        async def answer() -> bytes:
            return _encoded(self._result(await result, request_id))

        return answer()

    def _prepare(self, query: str, name: str | None) -> Operation:
        document = self._check(query)
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        if name:
            operations = [node for node in operations if node.name and node.name.value == name]
            if not operations:
                message = f"The document has no operation {name!r}; name one that it has."
                raise Refusal(Code.OPERATION_NOT_FOUND, message)
        if len(operations) != 1:
            message = f"The document has {len(operations)} operations; say which one to run in 'operationName'."
            raise Refusal(Code.OPERATION_NOT_FOUND, message)
        (operation,) = operations
        kind = operation.operation
        root = self._schema.subscription_type
        shaped_by = shaping(document, root.name if root else "")
        plans = self._plans(document, operation) if self._plans and kind is OperationType.QUERY else None
        many, lasts = inputs(self._schema, operation), lasting(self._schema, document)
        return Operation(query, document, kind, name, shaped_by, many, lasts, _about(operation, query), plans)

    def _check(self, query: str) -> DocumentNode:
        if len(query) > self._limits.query_length:
            message = f"The document has more than {self._limits.query_length} characters; send values as variables."
            raise Refusal(LIMIT_EXCEEDED, message)
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

    def _check_values(self, operation: Operation, variables: Mapping[str, Any]) -> None:
        if operation.inputs and (errors := check_values(operation.inputs, variables, self._limits)):
            raise self._refused(Code.QUERY_LIMIT_EXCEEDED, errors)

    def _refused(self, code: Code, errors: list[GraphQLError]) -> Refusal:
        return Refusal(code, errors[0].message, errors=self._mask.request_errors(errors, code))

    def _result(self, result: ExecutionResult, request_id: str) -> Result:
        if not result.errors:
            return {"data": result.data}
        if result.data is None and all(error.path is None for error in result.errors):
            answer: Result = {"errors": self._mask.request_errors(result.errors, Code.BAD_USER_INPUT)}
        else:
            answer = {"data": result.data, "errors": self._mask.execution_errors(result.errors, request_id)}
        fails(answer["errors"][0]["extensions"]["code"])
        return answer


def _about(operation: OperationDefinitionNode, query: str) -> About:
    name = without_secrets(operation.name.value) if operation.name else ""
    return About(operation.operation.value, name, hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest())


def _stray(error: asyncio.CancelledError) -> Exception:
    """What a cancellation is that nobody asked this task for: a fault of what it waited for. Raises any other."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    return RuntimeError("what was waited for was cancelled")


def _encoded(result: Result) -> bytes:
    if "data" not in result:
        raise Refusal(Code.BAD_USER_INPUT, result["errors"][0]["message"], errors=result["errors"])
    return encode_json(result)
