"""Changing a mapping or a list where it stands in the text, by cutting out and putting in as little as possible."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.registry.manifest import emit, lines
from app.registry.manifest.composer import BREAKS
from app.registry.manifest.model import JSON
from app.registry.manifest.nodes import Member, Node

_COLON = re.compile(r"[ \t]*:")


class CannotSpliceError(Exception):
    """A pair is written in a way that does not let it be changed by itself."""


class Cut(NamedTuple):
    """`text` takes the place of what stands between `start` and `end`."""

    start: int
    end: int
    text: str


class Splicer:
    """Collects cuts of one text. `newline` and `step` (spaces per level) are the style of what is put in.

    `used` names the anchors that aliases of the entry at hand refer to: a pair that defines one is not changed alone.
    """

    def __init__(self, text: str, newline: str, step: int) -> None:
        self.text = text
        self.newline = newline
        self.step = step
        self.used: set[str] = set()
        self.cuts: list[Cut] = []

    def cut(self, start: int, end: int, text: str = "") -> None:
        """Put `text` in the place of what stands between two indexes."""
        self.cuts.append(Cut(start, end, text))

    def result(self) -> str:
        """The text with every cut made. Overlapping cuts remove what any of them removes."""
        parts, at = [], 0
        for start, end, text in sorted(self.cuts, key=lambda cut: cut[:2]):
            parts += [self.text[at:start], text]
            at = max(at, end)
        return "".join([*parts, self.text[at:]])

    def keeps_end(self) -> bool:
        """Whether the last line break is still there, or one that was put in after it."""
        last = max(self.cuts, key=lambda cut: cut[:2], default=Cut(0, 0, ""))
        return last.end < len(self.text) or bool(last.text)

    def mapping(self, node: Node, old: Mapping[str, JSON], new: Mapping[str, JSON], *, entry: bool = False) -> None:
        """Turn a mapping that holds `old` into one that holds `new`; what is the same keeps its bytes."""
        members = node.members or []
        gone = [member for member in members if member.key not in new]
        for member in members:
            key = member.key or ""
            if key in new and same(old[key], new[key]):
                continue
            if member.value.anchors & self.used:
                raise CannotSpliceError
            if key in new:
                self.value(member, old[key], new[key], flow=node.flow, identifier=entry and key == emit.IDENTIFIER)
        added = {key: value for key, value in new.items() if key not in old}
        if node.flow:
            self.change_flow(node, gone, [emit.inline_pair(key, value, entry=entry) for key, value in added.items()])
            return
        self.remove_lines(gone)
        if added:
            column = lines.column(self.text, members[0])
            self.insert_lines(
                lines.next_line(self.text, members[-1].value.end),
                [
                    line
                    for key, value in added.items()
                    for line in emit.pair(key, value, column, self.step, entry=entry)
                ],
            )

    def value(
        self, member: Member, old: JSON, new: JSON, *, flow: bool, entry: bool = False, identifier: bool = False
    ) -> None:
        """Turn the value of a pair from `old` into `new`."""
        node = member.value
        both = isinstance(old, Mapping) and isinstance(new, Mapping)
        if both and new and node.is_mapping and {one.key for one in node.members or ()} == old.keys():
            self.mapping(node, old, new, entry=entry)
        elif not flow:
            self.replace(member, new, entry=entry, identifier=identifier)
        elif node.start == node.end:
            raise CannotSpliceError
        else:
            plain = emit.scalar(new, flow=True, identifier=True) if identifier and isinstance(new, str) else None
            self.cut(node.start, node.end, plain or emit.inline(new, entry=entry))

    def replace(self, member: Member, new: JSON, *, entry: bool = False, identifier: bool = False) -> None:
        """Write the value of a block pair anew, keeping the comment on its first line."""
        text, node = self.text, member.value
        match = _COLON.match(text, member.key_end)
        if match is None:
            raise CannotSpliceError
        colon, first_end = match.end(), lines.line_end(text, match.end())
        first, *rest = emit.after_key(new, lines.column(text, member), self.step, identifier=identifier, entry=entry)
        on_line = node.end <= first_end and not node.block_scalar
        if on_line and node.start < node.end and not rest:
            self.cut(node.start, node.end, first[1:])
            return
        if node.block_scalar:
            found = re.search(f"[ \t]#[^{BREAKS}]*", text[node.start : first_end])
            comment = found.group() if found else ""
        elif node.start < node.end and node.start <= first_end:
            comment = lines.comment_at(text, node.end)
        else:
            comment = lines.comment_at(text, colon)
        end = max(first_end, lines.line_end(text, node.end))
        self.cut(colon, end, self.newline.join([first + comment, *rest]))

    def remove_lines(self, members: Sequence[Member]) -> None:
        """Take out the own lines of members of a block collection."""
        for member in members:
            start = lines.lead(self.text, member)
            if member.key is not None and self.text[start : member.start].strip() not in ("", "?"):
                raise CannotSpliceError
            self.cut(start, lines.own_end(self.text, member))

    def insert_lines(self, index: int, added: Sequence[str]) -> None:
        """Put whole lines in at the beginning of a line."""
        self.cut(index, index, "".join(line + self.newline for line in added))

    def change_flow(self, node: Node, gone: Sequence[Member], added: Sequence[str]) -> None:
        """Take members out of a flow collection, and put members in at its end."""
        members = node.members or []
        left = [member for member in members if member not in gone]
        for member in gone:
            self._remove_flow(members, members.index(member), left)
        if not added:
            return
        if left:
            self._append_flow(left[-1], node.end, added)
        else:
            self.cut(node.start + 1, node.start + 1, ", ".join(added))

    def _remove_flow(self, members: list[Member], index: int, left: list[Member]) -> None:
        text, member = self.text, members[index]
        start, end = member.start, member.value.end
        comma = lines.comma_after(text, end)
        after = end if comma is None else comma + 1
        first, stop = lines.line_start(text, start), lines.line_end(text, after)
        if not text[first:start].strip() and lines.is_blank(text, after, stop):
            self.cut(first, lines.next_line(text, after))
        elif any(other.start > start for other in left):
            following = members[index + 1].start
            self.cut(start, after if any(one in BREAKS for one in text[after:following]) else following)
        else:
            before = [other.value.end for other in left if other.start < start]
            self.cut(before[-1] if before else start, end if before else after)

    def _append_flow(self, last: Member, close: int, added: Sequence[str]) -> None:
        text, end = self.text, last.value.end
        first = lines.line_start(text, last.start)
        indent = text[first : last.start]
        if indent.strip():
            self.cut(end, end, "".join(f", {one}" for one in added))
            return
        comma = lines.comma_after(text, end)
        after = end if comma is None else comma + 1
        below = lines.next_line(text, after)
        if below > close or not lines.is_blank(text, after, lines.line_end(text, after)):
            self.cut(end, end, "".join(f",{self.newline}{indent}{one}" for one in added))
            return
        if comma is None:
            self.cut(end, end, ",")
        joined = f",{self.newline}{indent}".join(added)
        self.cut(below, below, indent + joined + ("" if comma is None else ",") + self.newline)


def same(one: JSON, other: JSON) -> bool:
    """Whether two JSON values are equal; 1, 1.0 and true are three values, the order of keys does not matter."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
