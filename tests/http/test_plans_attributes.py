"""Fields that are attributes: a plan takes them from the value itself, and answers as graphql-core does."""

from dataclasses import dataclass
from typing import Any

import pytest
import strawberry

from app.http.body import encode_json
from app.http.engine import Engine
from app.resolvers.limits import Limits
from app.schema import described


@dataclass(frozen=True)
class Wheel:
    size: int | None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cart:
    front: Wheel
    spare: Wheel | None
    wheels: Any
    name: Any = "cart"


@described.type_
class WheelView:
    """A wheel.

    size: How large it is.
    """

    wheel: strawberry.Private[Wheel]
    size: int | None = described.attribute("wheel.size")
    marks: list[str] = described.attribute("wheel.marks")
    again: "WheelView" = described.shown("wheel", lambda: WheelView)

    @described.field
    async def rim(self) -> str:
        """Its rim."""
        return f"rim {self.wheel.size}"

    @described.field
    def hub(self, of: str = "oak") -> str:
        """Its hub.

        of: What it is made of.
        """
        return f"{of} {self.wheel.size}"


@described.type_
class CartView:
    """A cart."""

    value: strawberry.Private[Cart]
    name: str = described.attribute("value.name")

    @described.field
    def weight(self) -> int:
        """Its weight."""
        return 7

    front: WheelView = described.shown("value.front", lambda: WheelView)
    spare: WheelView | None = described.shown("value.spare", lambda: WheelView)
    wheels: list[WheelView] = described.list_of("value.wheels", lambda: WheelView)


CARTS = {
    "whole": Cart(Wheel(1), Wheel(None, ("a", "b")), (Wheel(2), Wheel(3))),
    "bare": Cart(Wheel(1), None, []),
    "wheels of none": Cart(Wheel(1), None, [None]),
    "wheels of a set": Cart(Wheel(1), None, {Wheel(1)}),
    "no front": Cart(None, None, []),  # type: ignore[arg-type]
    "no name": Cart(Wheel(1), None, [], None),
    "a number for a name": Cart(Wheel(1), None, [], 12),
    "too large": Cart(Wheel(2**31), None, []),
}


@described.type_
class Query:
    """What is asked."""

    @described.field
    def cart(self, of: str) -> CartView:
        """A cart.

        of: Which.
        """
        return CartView(value=CARTS[of])


CORE = Engine(strawberry.Schema(Query), Limits(), plans=False)
EVERYTHING = (
    "name weight front { size again { size } } spare { marks hub size __typename } wheels { rim size hub(of: $h) }"
)
QUERIES = [
    EVERYTHING,
    "name",
    "weight",
    "front { __typename }",
    "front { again { __typename } }",
    "spare { size rim hub }",
    "spare { a: rim b: rim again { rim } }",
    "wheels { __typename }",
    "wheels { again { rim } other: again { rim size } }",
]


async def answers(query: str, of: str) -> tuple[Any, Any]:
    """What a plan answers, and graphql-core."""
    engine = Engine(strawberry.Schema(Query), Limits())
    text = f'query($of: String!, $h: String! = "ash") {{ cart(of: $of) {{ {query} }} ...H }} {HOLDS}'
    operation, variables = engine.prepare(text), {"of": of, "h": "elm"}
    assert operation.plans
    await operation.plans.answer(variables, None)
    planned = await operation.plans.answer(variables, None)
    return planned, await CORE.execute(CORE.prepare(text), variables, None, "r")


HOLDS = 'fragment H on Query { held: cart(of: "whole") { wheels { hub(of: $h) } } }'
"""Uses the variable where the query does not."""


@pytest.mark.parametrize("of", CARTS)
@pytest.mark.parametrize("query", QUERIES)
async def test_attributes_are_answered_as_graphql_core_does(query: str, of: str) -> None:
    planned, expected = await answers(query, of)
    if planned is None:  # a tuple and a list are a list to it, and nothing else is
        assert "errors" in expected or of == "wheels of a set"
    else:
        assert encode_json({"data": planned}) == encode_json(expected)


async def test_what_is_right_is_answered_by_the_plan() -> None:
    for query in QUERIES:
        assert (await answers(query, "whole"))[0] is not None, query


async def test_no_object_is_made_for_attributes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(strawberry.Schema(Query), Limits())
    operation = engine.prepare('{ cart(of: "whole") { front { size again { size } } wheels { marks } } }')
    assert operation.plans
    await operation.plans.answer({}, None)
    assert await operation.plans.answer({}, None)
    monkeypatch.delattr(WheelView, "__init__")
    assert await operation.plans.answer({}, None) == {
        "cart": {"front": {"size": 1, "again": {"size": 1}}, "wheels": [{"marks": []}, {"marks": []}]}
    }


def test_fields_stand_in_the_schema_as_in_the_class() -> None:
    text = strawberry.Schema(Query).as_str()
    places = [text.index(f"  {name}: ") for name in ("name", "weight", "front", "spare", "wheels")]
    assert places == sorted(places)
    assert '"""How large it is."""\n  size: Int\n' in text
