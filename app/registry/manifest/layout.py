"""Where the entries of a file stand, and how a changed set of them is written there."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.registry.manifest import emit, lines
from app.registry.manifest.composer import BREAKS, Span, newline_of
from app.registry.manifest.model import JSON
from app.registry.manifest.nodes import Member, Node, compose
from app.registry.manifest.reader import Document, Item
from app.registry.manifest.splice import CannotSpliceError, Splicer

_STEP = 2
_WIDEST_STEP = 8


@dataclass(slots=True, eq=False)
class Slot:
    """The place of an entry: what stands there now (`item`, None for a new one) and what shall stand there.

    `removed` takes it out. `source` is where it is written as it shall be.
    """

    item: Item | None
    name: str
    value: JSON
    touched: bool = False
    removed: bool = False
    source: "Layout | None" = None


class Layout:
    """A document as a collection of entries: `node` has a member for each item, in order."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text
        outline = document.outline
        members = [_member(item.span) for item in document.items]
        self.node = Node(outline.start, outline.end, outline.flow, members=members) if outline else None
        self.in_list = bool(members) and members[0].key is None
        self.named_by = next((item.named_by for item in document.items if item.named_by), "name")

    def render(self, slots: Sequence[Slot]) -> str:
        """The text with every touched slot as it shall be. Raises CannotSpliceError."""
        splicer = Splicer(self.text, newline_of(self.text), self._step())
        gone = []
        for slot, member in zip(slots, self.node.members or () if self.node else (), strict=False):
            if slot.removed:
                gone.append(member)
            elif slot.touched and slot.item:
                self._change(splicer, slot, slot.item, member)
        added = [slot for slot in slots if slot.item is None and not slot.removed]
        if not self.node or not self.node.members:
            if added:
                self._begin(splicer, added)
        elif self.node.flow:
            splicer.change_flow(self.node, gone, [self._inline(slot) for slot in added])
        else:
            splicer.remove_lines(gone)
            if len(gone) == len(self.node.members) and not added and self.document.stop < len(self.text):
                splicer.insert_lines(lines.lead(self.text, gone[-1]), ["{}"])  # `...` alone is no document
            self._append(splicer, self.node.members, added)
        text = splicer.result()
        return text.removesuffix(self.document.added) if splicer.keeps_end() else text

    def own_text(self, name: str) -> str | None:
        """The text of an entry as it can be put into another file; None when it shares values with other entries."""
        index = next(at for at, item in enumerate(self.document.items) if item.name == name)
        start, end = self._own(index)
        if any((start <= one < end) or (start <= other < end) for one, other in self.document.links):
            return None
        return self.text[start:end]

    def fits(self, other: "Layout") -> bool:
        """Whether the text of an entry of `other` means the same here."""
        if not self.node or not other.node or not self.node.members or not other.node.members:
            return False
        mine, theirs = self.node.members[0], other.node.members[0]
        if self.node.flow or other.node.flow or self.in_list != other.in_list or self.named_by != other.named_by:
            return False
        return lines.column(self.text, mine) == lines.column(other.text, theirs)

    def _own(self, index: int) -> tuple[int, int]:
        member = self._members()[index]
        if self.node and self.node.flow:
            return member.start, member.value.end
        return lines.lead(self.text, member), lines.own_end(self.text, member)

    def _members(self) -> list[Member]:
        return (self.node.members if self.node else None) or []

    def _step(self) -> int:
        if self.node and self.node.flow:
            return _STEP
        for member in self._members():
            first = lines.line_start(self.text, member.value.start)
            step = member.value.start - first - (member.start - lines.line_start(self.text, member.start))
            if first > member.start and 0 < step <= _WIDEST_STEP:
                return step
        return _STEP

    def _change(self, splicer: Splicer, slot: Slot, item: Item, member: Member) -> None:
        flow = bool(self.node and self.node.flow)
        if text := self._restored(slot):
            splicer.cut(lines.lead(self.text, member), lines.own_end(self.text, member), text)
            return
        if member.key is not None and slot.name != item.name:
            splicer.cut(member.start, member.key_end, emit.text(slot.name, flow=flow))
        old, new = self._full(item, item.name or "", item.value), self._full(item, slot.name, slot.value)
        made = len(splicer.cuts)
        try:
            self._revise(splicer, member, old, new)
        except CannotSpliceError:
            del splicer.cuts[made:]
            self._rewrite(splicer, member, new)

    def _full(self, item: Item | None, name: str, value: JSON) -> JSON:
        named_by = item.named_by if item else self.named_by
        return {named_by: name, **value} if self.in_list else value

    def _revise(self, splicer: Splicer, member: Member, old: JSON, new: JSON) -> None:
        if self.node and self.node.flow:
            value = compose(self.text, member.value.start, member.value.end)
        else:
            own = compose(self.text, lines.lead(self.text, member), lines.next_line(self.text, member.value.end))
            value = own.members[0].value if own.members else own
        splicer.used = value.aliases
        if not self.in_list:
            whole = Member(member.key, member.start, member.key_end, value)
            splicer.value(whole, old, new, flow=bool(self.node and self.node.flow), entry=True)
        elif value.is_mapping:
            splicer.mapping(value, old, new, entry=True)
        else:
            raise CannotSpliceError

    def _rewrite(self, splicer: Splicer, member: Member, new: JSON) -> None:
        if self.node and self.node.flow:
            splicer.cut(member.value.start, member.value.end, emit.inline(new, entry=True))
        elif self.in_list:
            start, stop = lines.lead(self.text, member), lines.next_line(self.text, member.value.end)
            column = lines.column(self.text, member)
            written = emit.element(new, column, splicer.step, entry=True)
            splicer.cut(start, stop, "".join(line + splicer.newline for line in written))
        else:
            splicer.replace(member, new, entry=True)

    def _append(self, splicer: Splicer, members: list[Member], added: Sequence[Slot]) -> None:
        column = lines.column(self.text, members[0])
        end = lines.own_end(self.text, members[-1])
        blank = self._separator(members)
        for slot in added:
            written = self._restored(slot) or "".join(
                line + splicer.newline for line in self._lines(slot, column, splicer.step)
            )
            splicer.cut(end, end, blank + written)

    def _separator(self, members: list[Member]) -> str:
        if len(members) == 1:
            return ""
        gap = self.text[lines.own_end(self.text, members[-2]) : lines.lead(self.text, members[-1])]
        first = gap[: lines.next_line(gap, 0)]
        return first if first and not first.strip(" \t" + BREAKS) else ""

    def _restored(self, slot: Slot) -> str | None:
        if slot.source is None or not self.fits(slot.source):
            return None
        text = slot.source.own_text(slot.name)
        newline = newline_of(self.text)
        return text.replace("\r\n", "\n").replace("\n", newline) if text else None

    def _lines(self, slot: Slot, column: int, step: int) -> list[str]:
        if self.in_list:
            return emit.element(self._full(None, slot.name, slot.value), column, step, entry=True)
        first, *rest = emit.after_key(slot.value, column, step, entry=True)
        return [f"{' ' * column}{emit.text(slot.name, flow=False)}:{first}", *rest]

    def _inline(self, slot: Slot) -> str:
        value = emit.inline(self._full(None, slot.name, slot.value), entry=True)
        return value if self.in_list else f"{emit.text(slot.name, flow=True)}: {value}"

    def _begin(self, splicer: Splicer, added: Sequence[Slot]) -> None:
        """Write the first entries of a file, or of a section, that has none."""
        document, step = self.document, splicer.step
        column = 0
        if document.wrapper:
            colon = self.text.find(":", document.wrapper.key_end)
            column = document.wrapper.place.column + step
            if self.node and self.node.flow and self._is_flow_root():
                splicer.change_flow(self.node, [], [self._inline(slot) for slot in added])
                return
            start, end = colon + 1, lines.line_end(self.text, max(document.wrapper.end, colon))
            comment = lines.comment_at(self.text, max(document.wrapper.end, start))
            written = [line for slot in added for line in self._lines(slot, column, step)]
            splicer.cut(start, end, splicer.newline.join([comment, *written]))
            return
        start, end = document.root
        if start < end:
            first = lines.line_start(self.text, start)
            alone = not self.text[first:start].strip() and not self.text[end : lines.line_end(self.text, end)].strip()
            splicer.cut(first if alone else start, lines.next_line(self.text, end) if alone else end)
        for slot in added:
            splicer.insert_lines(document.stop, self._lines(slot, column, step))

    def _is_flow_root(self) -> bool:
        return self.text[self.document.root[0]] == "{"


def _member(span: Span) -> Member:
    return Member(span.key, span.place.offset, span.key_end, Node(span.start, span.end))
