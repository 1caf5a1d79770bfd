"""The text of a plan: one Python function for every selection, written for what can go right.

In it `o` is the object a selection is made of, `w` the one value that such an object shows, `v` and `x` are values of
fields and of lists, and `run` is what is known of the request. A value has exactly the class that its type says, or the
plan gives up: what an error looks like is not decided here. What only stands at a path from `w` is taken from there,
and objects whose methods nobody asks for are not made.
"""

from collections.abc import Iterator
from typing import Any

import strawberry
from graphql import GraphQLLeafType, GraphQLOutputType, is_leaf_type, is_list_type, is_non_null_type

from app.http.plans.arguments import Arguments
from app.http.plans.leaves import as_it_is, coercion
from app.http.plans.selection import Field, Selection, Typename, Unplanned
from app.http.plans.texts import Texts
from app.http.plans.together import together
from app.schema.described import holds


class Source:
    """The functions of one plan; `root` is the name of the one that makes the answer.

    `names` are the values they speak of, and `varying` the arguments to be coerced for each request.
    """

    def __init__(self, schema: strawberry.Schema, root: Selection, texts: Texts) -> None:
        self._schema = schema
        self._texts = texts
        self._lines: list[str] = []
        self._leaves: dict[str, str] = {}
        self.names: dict[str, Any] = {"Unplanned": Unplanned, "items": _items, "together": together, "kept": texts.of}
        self.varying: list[Arguments] = []
        self.root = self._selection(root, None, waits=root.waits)

    @property
    def text(self) -> str:
        """The whole program."""
        return "\n".join(self._lines)

    def _named(self, kind: str, value: object) -> str:
        name = f"{kind}{len(self.names)}"
        self.names[name] = value
        return name

    def _function(self, value: str, body: list[str], *, waits: bool) -> str:
        name = self._named("f", None)
        head = f"{'async def' if waits else 'def'} {name}({value}, run):"
        self._lines += [head, *(f"    {line}" for line in body)]
        return name

    def _of_value(self, selection: Selection, cls: type, *, waits: bool) -> str:
        """A function that makes what is asked of the value that an object of the class `cls` would show."""
        held = holds(cls)
        fields = [field for field in selection.fields if isinstance(field, Field)]
        read = any("." in (field.attribute or "") for field in fields)  # which None does not survive
        body = [] if read else ["if w is None: raise Unplanned"]
        if any(field.waits or field.attribute is None for field in fields):
            body.append(f"o = {self._named('T', cls)}({held}=w)")
        return self._function("w", [*body, *self._body(selection, held)], waits=waits)

    def _selection(self, selection: Selection, cls: type | None, *, waits: bool) -> str:
        """A function that makes what is asked of an object, which is of the class `cls` if that is given."""
        body = [f"if type(o) is not {self._named('T', cls)}: raise Unplanned"] if cls else []
        return self._function("o", [*body, *self._body(selection, None)], waits=waits)

    def _body(self, selection: Selection, held: str | None) -> list[str]:
        """The lines that make it, of `w` if what the object holds under that name is known, else of `o`."""
        body = []
        parts = []
        waiting: dict[str, str] = {}
        together = sum(field.waits for field in selection.fields) > 1
        for index, field in enumerate(selection.fields):
            value = f"v{index}"
            if isinstance(field, Typename):
                parts.append(f"{field.key!r}: {field.name!r}")
            elif field.paged and field.fixed:
                parts.append(f"{field.key!r}: {self._kept(field, held)}")
            elif field.waits and together:
                waiting[value] = self._waiting(field)
                parts.append(f"{field.key!r}: {value}")
            else:
                body.append(f"{value} = {self._got(field, held)}")
                parts.append(f"{field.key!r}: {self._complete(field, field.definition.type, value)}")
        if waiting:
            made = f"f(o, run) for f in ({', '.join(waiting.values())})"
            body.append(f"{', '.join(waiting)} = await together({made})")
        return [*body, f"return {{{', '.join(parts)}}}"]

    def _kept(self, field: Field, held: str | None) -> str:
        """An expression for the nodes of a page, whose JSON is kept."""
        made = self._complete(field, field.definition.type, "w")
        page = self._got(field, held).removesuffix(".nodes")
        select = self._function("w", [f"return {made}"], waits=False)
        return f"kept({self._texts.number()}, {select}, {page}, run)"

    def _waiting(self, field: Field) -> str:
        """A coroutine function that makes one field of an object."""
        body = [f"v = {self._got(field, None)}", f"return {self._complete(field, field.definition.type, 'v')}"]
        return self._function("o", body, waits=True)

    def _got(self, field: Field, held: str | None) -> str:
        """The value of a field: of `w`, which the object holds under that name, if there is one, else of `o`."""
        if field.attribute is None:
            return self._call(field)
        return f"w{field.attribute.removeprefix(held)}" if held else f"o.{field.attribute}"

    def _call(self, field: Field) -> str:
        """What the resolver gives, called as Strawberry calls it."""
        resolver = field.resolver.base_resolver
        if resolver is None:
            return f"o.{field.resolver.python_name}"
        given = ["o"] if resolver.self_parameter else []
        given += [f"{one.name}=o" for one in (resolver.parent_parameter, resolver.root_parameter) if one]
        given += [f"{resolver.info_parameter.name}=run"] if resolver.info_parameter else []
        called = f"{self._named('r', resolver.wrapped_func)}({', '.join([*given, *self._arguments(field)])})"
        return f"await {called}" if field.resolver.is_async else called

    def _arguments(self, field: Field) -> Iterator[str]:
        if field.definition.args:
            arguments = Arguments(self._schema, field)
            if arguments.varying:
                yield f"**run.arguments[{len(self.varying)}]"
                self.varying.append(arguments)
            else:
                for name, value in arguments.constant.items():
                    yield f"{name}={self._named('a', value)}"

    def _complete(self, field: Field, type_: GraphQLOutputType, value: str) -> str:
        """An expression for the value of that name as it stands in the answer."""
        if is_non_null_type(type_):
            return self._present(field, type_.of_type, value)
        if is_leaf_type(type_) and (exact := as_it_is(type_, value)):
            return f"{value} if {exact} else None if {value} is None else {self._leaf(type_)}({value})"
        return f"None if {value} is None else {self._present(field, type_, value)}"

    def _present(self, field: Field, type_: GraphQLOutputType, value: str) -> str:
        """The same for a value that is not to be null."""
        if is_list_type(type_):
            return self._list(field, type_.of_type, value)
        if is_leaf_type(type_):
            called = f"{self._leaf(type_)}({value})"
            exact = as_it_is(type_, value)
            return f"{value} if {exact} else {called}" if exact else called
        write = self._selection if field.attribute is None else self._of_value
        functions = {cls: write(part, cls, waits=field.holds_waits) for cls, part in field.parts.items()}
        function, *others = functions.values()
        if others:
            table = ", ".join(f"{self._named('T', cls)}: {name}" for cls, name in functions.items())
            function = self._named("d", None)
            self._lines.append(f"{function} = {{{table}}}")
            function += f"[type({value})]"
        return f"{'await ' if field.holds_waits else ''}{function}({value}, run)"

    def _list(self, field: Field, of: GraphQLOutputType, value: str) -> str:
        item = self._complete(field, of, "x")
        if not field.holds_waits:
            return f"[{item} for x in items({value})]"
        if "if" in item:  # it may be null
            item = f"await {self._function('x', [f'return {item}'], waits=True)}(x, run)"
        return f"await together({item.removeprefix('await ')} for x in items({value}))"

    def _leaf(self, type_: GraphQLLeafType) -> str:
        if type_.name not in self._leaves:
            self._leaves[type_.name] = self._named("l", coercion(type_))
        return self._leaves[type_.name]


def _items(value: Any) -> Any:
    if type(value) is list or type(value) is tuple:
        return value
    raise Unplanned
