"""`access.yml` as YAML: its values with their lines, taken one by one, each of the kind that is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.registry.manifest.composer import Composer, first_unreadable
from app.registry.manifest.model import JSON, Code, Limits, ManifestRefusedError, Problem
from app.registry.manifest.reader import text_of

PATH = "access.yml"
LIMITS = Limits(bytes=1 << 20, depth=8, nodes=50_000, expanded=50_000)


class PolicyError(Exception):
    """`access.yml` is broken: on which `line`, counted from 1, and what to change there."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"{PATH}, line {line}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the file, the line its key stands on, and what the rest was read by."""

    json: JSON
    line: int
    page: Composer

    def refused(self, message: str) -> PolicyError:
        """What is wrong with it."""
        return PolicyError(self.line, message)

    def text(self) -> str:
        """The text it is. Raises PolicyError."""
        if not isinstance(self.json, str):
            raise self.refused("This has to be text; put it in quotes.")
        return self.json

    def pairs(self) -> Mapping[str, "Value"]:
        """The pairs of the mapping it is. Raises PolicyError."""
        if not isinstance(self.json, dict):
            raise self.refused("This has to be a mapping: {key: value, …}. Write {} for an empty one.")
        places = self.page.places[id(self.json)]
        return {key: Value(value, places[key].line + 1, self.page) for key, value in self.json.items()}

    def fields(self, *known: str) -> Mapping[str, "Value"]:
        """The same, of a mapping that has no other keys than those known. Raises PolicyError."""
        pairs = self.pairs()
        for key, value in pairs.items():
            if key not in known:
                raise value.refused(f"Nothing is called {key!r} here; the keys are {', '.join(known)}.")
        return pairs

    def items(self) -> Iterator["Value"]:
        """The items of the list it is. Raises PolicyError."""
        if not isinstance(self.json, list):
            raise self.refused("This has to be a list: [one, another]. Write [] for an empty one.")
        outline = self.page.outlines.get(id(self.json))
        for number, item in enumerate(self.json):
            line = outline.spans[number].place.line + 1 if outline else self.line
            yield Value(item, line, self.page)


def read_page(data: bytes) -> Value | None:
    """The whole file, None when nothing stands in it. Raises PolicyError."""
    try:
        text, _ = text_of(data, LIMITS)
        if unreadable := first_unreadable(text):
            raise PolicyError(unreadable.line + 1, "This character cannot stand in YAML; remove it or escape it.")
        page = Composer(text, LIMITS).compose()
    except ManifestRefusedError as error:
        raise _unreadable(error.problems[0]) from error
    return None if page.root is None else Value(page.root, page.root_place.line + 1, page)


def _unreadable(problem: Problem) -> PolicyError:
    hint = " Text that begins with '*' needs quotes." if problem.code == Code.SYNTAX else ""
    return PolicyError(problem.line or 1, problem.message + hint)
