"""Plans: queries compiled to Python. What a plan cannot do, or what goes wrong while it runs, graphql-core does."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import strawberry
from graphql import DirectiveNode, DocumentNode, OperationDefinitionNode, VariableNode, Visitor, visit
from graphql.execution.values import VariableValues

from app.http.plans.arguments import Arguments
from app.http.plans.selection import Selector
from app.http.plans.source import Source
from app.http.plans.texts import Texts
from app.http.plans.variables import Variables

MOST_PLANS = 4
"""Plans of one operation: what @skip and @include ask of variables makes a plan for each combination of them."""
log = logging.getLogger("ml_registry.plans")


@dataclass(frozen=True, slots=True)
class Run:
    """One request: what resolvers see as `info`, and the arguments that depend on its variables."""

    context: Any
    arguments: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A query as a function of no object and a run. Where it `waits`, the function is a coroutine function."""

    function: Callable[[None, Run], Any]
    waits: bool
    varying: list[Arguments]

    async def answer(self, variables: VariableValues, context: object) -> dict[str, Any]:
        """The data of the answer. Raises whatever goes wrong."""
        made = self.function(None, Run(context, [one(variables) for one in self.varying]))
        data: dict[str, Any] = await made if self.waits else made
        return data


class Plans:
    """The plans of one validated query. There is none before it is asked again: most that carry values never are."""

    def __init__(
        self, schema: strawberry.Schema, texts: Texts, document: DocumentNode, operation: OperationDefinitionNode
    ) -> None:
        self._schema = schema
        self._texts = texts
        self._core = schema._schema  # noqa: SLF001  Strawberry names its graphql-core schema no other way
        self._document = document
        self._operation = operation
        self._again = False
        self._made: dict[tuple[Any, ...], Plan | None] = {}

    async def answer(self, variables: Mapping[str, Any], context: object) -> dict[str, Any] | None:
        """The data of an answer without errors; None where graphql-core has to answer instead."""
        if not self._again:
            self._again = True
            return None
        try:
            given = self._variables(variables)
            if plan := self._plan(given):
                return await plan.answer(given, context)
        except Exception:  # graphql-core meets it again, and reports it
            log.debug("a query is executed by graphql-core after all", exc_info=True)
        return None

    @cached_property
    def _variables(self) -> Variables:
        return Variables(self._core, self._operation)

    @cached_property
    def _deciding(self) -> tuple[str, ...]:
        """The variables that decide what is selected at all."""
        visitor = _Deciding()
        visit(self._document, visitor)
        return tuple(visitor.names)

    def _plan(self, variables: VariableValues) -> Plan | None:
        case = tuple(variables.coerced.get(name) for name in self._deciding)
        if case not in self._made and len(self._made) < MOST_PLANS:
            self._made[case] = None  # where it cannot be made, it is not tried again
            self._made[case] = self._make(variables)
        return self._made.get(case)

    def _make(self, variables: VariableValues) -> Plan:
        root = Selector(self._core, self._document, self._operation, variables).root()
        source = Source(self._schema, root, self._texts)
        exec(compile(source.text, "<plan>", "exec"), source.names)  # noqa: S102  names of the schema, and no values
        return Plan(source.names[source.root], root.waits, source.varying)


class _Deciding(Visitor):
    """Collects the variables that directives name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        self.names |= {
            one.value.name.value: None for one in node.arguments or () if isinstance(one.value, VariableNode)
        }
