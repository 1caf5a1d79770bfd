"""Where the entries of a file stand, and how a changed set of them is written there."""

from collections.abc import Sequence
from dataclasses import dataclass

from yaml import YAMLError

from app.registry.manifest import emit, lines
from app.registry.manifest.composer import BREAKS, newline_of
from app.registry.manifest.excerpt import Excerpt
from app.registry.manifest.items import Item
from app.registry.manifest.model import JSON
from app.registry.manifest.nodes import Member, Node, compose
from app.registry.manifest.reader import Document
from app.registry.manifest.splice import CannotSpliceError, Splicer, same

_STEP = 2
_WIDEST_STEP = 8


@dataclass(slots=True, eq=False)
class Slot:
    """The place of an entry: what stands there now (`item`, None for a new one) and what shall stand there.

    `removed` takes it out. `excerpt` is how another version of the file puts it.
    """

    item: Item | None
    name: str
    value: JSON
    touched: bool = False
    removed: bool = False
    excerpt: Excerpt | None = None


class Layout:
    """A document as a collection of entries, and the slots to be written.

    Entries stand at `column`, which is None in flow style. A file, or a section, that has none takes after the first
    one that is restored into it.
    """

    def __init__(self, document: Document, slots: Sequence[Slot]) -> None:
        self.document = document
        self.text = document.text
        self.slots = slots
        self.outline = document.outline
        self.items = document.items
        self.added = [slot for slot in slots if slot.item is None and not slot.removed]
        first = next((slot.excerpt for slot in self.added if slot.excerpt), None)
        self.newline = newline_of(self.text or (first.text if first else ""))
        self.column, self.in_list = self._style() if self.items else self._first_style(first)

    def render(self) -> str:
        """The text with every touched slot as it shall be. Raises CannotSpliceError."""
        splicer = Splicer(self.text, self.newline, self._step())
        gone = []
        for slot in self.slots:
            if slot.item and slot.removed:
                gone.append(Member.of(slot.item.span))
            elif slot.item and slot.touched:
                self._change(splicer, slot, slot.item, Member.of(slot.item.span))
        if self.outline and self.column is None:
            node = Node(
                self.outline.start,
                self.outline.end,
                self.outline.flow,
                members=[Member.of(item.span) for item in self.items],
            )
            splicer.change_flow(node, gone, [self._inline(slot) for slot in self.added])
        elif self.items:
            splicer.remove_lines(gone)
            if len(gone) == len(self.items) and not self.added and self.document.stop < len(self.text):
                splicer.insert_lines(lines.lead(self.text, self._member(-1)), ["{}"])  # `...` alone is no document
            self._append(splicer)
        elif self.added:
            self._begin(splicer)
        text = splicer.result()
        return text.removesuffix(self.document.added) if splicer.keeps_end() else text

    def _member(self, number: int) -> Member:
        return Member.of(self.items[number].span)

    def _style(self) -> tuple[int | None, bool]:
        """At which column entries stand, and whether they are items of a list."""
        first = self._member(0)
        flow = self.outline and self.outline.flow
        return None if flow else lines.column(self.text, first), first.key is None

    def _first_style(self, excerpt: Excerpt | None) -> tuple[int | None, bool]:
        """The same where there are no entries yet."""
        wrapper = self.document.wrapper
        if self.outline and ((wrapper and self._is_flow_root()) or (excerpt and excerpt.column is None)):
            return None, self.text[self.outline.start] == "["
        if not wrapper:
            return 0, False
        outer = wrapper.place.column
        if excerpt is None or excerpt.column is None:
            return outer + _STEP, False
        deep_enough = excerpt.column > outer or (excerpt.in_list and excerpt.column == outer)
        return excerpt.column if deep_enough else outer + _STEP, excerpt.in_list

    def _step(self) -> int:
        if self.column is None:
            return _STEP
        for item in self.items:
            member = Member.of(item.span)
            first = lines.line_start(self.text, member.value.start)
            step = member.value.start - first - (member.start - lines.line_start(self.text, member.start))
            if first > member.start and 0 < step <= _WIDEST_STEP:
                return step
        return _STEP

    def _change(self, splicer: Splicer, slot: Slot, item: Item, member: Member) -> None:
        flow = self.column is None
        if text := self._restored(slot):
            splicer.cut(*lines.own(self.text, member, flow=flow), text)
            return
        if member.key is not None and slot.name != item.name:
            splicer.cut(member.start, member.key_end, emit.text(slot.name, flow=flow))
        old, new = self._full(item, item.name or "", item.value), self._full(item, slot.name, slot.value)
        if same(old, new):
            return
        made = len(splicer.cuts)
        try:
            self._revise(splicer, member, old, new)
        except (CannotSpliceError, YAMLError):
            del splicer.cuts[made:]
            self._rewrite(splicer, member, new)

    def _full(self, item: Item | None, name: str, value: JSON) -> JSON:
        if not self.in_list:
            return value
        named_by = item.named_by if item else next((one.named_by for one in self.items if one.named_by), "name")
        return {named_by: name, **value}

    def _revise(self, splicer: Splicer, member: Member, old: JSON, new: JSON) -> None:
        if self.column is None:
            value = compose(self.text, member.value.start, member.value.end)
        else:
            own = compose(self.text, lines.lead(self.text, member), lines.next_line(self.text, member.value.end))
            value = own.members[0].value if own.members else own
        splicer.used = value.aliases
        if not self.in_list:
            whole = Member(member.key, member.start, member.key_end, value)
            splicer.value(whole, old, new, flow=self.column is None, entry=True)
        elif value.is_mapping:
            splicer.mapping(value, old, new, entry=True)
        else:
            raise CannotSpliceError

    def _rewrite(self, splicer: Splicer, member: Member, new: JSON) -> None:
        if self.column is None:
            splicer.cut(member.value.start, member.value.end, emit.inline(new, entry=True))
        elif self.in_list:
            start, stop = lines.lead(self.text, member), lines.next_line(self.text, member.value.end)
            written = emit.element(new, self.column, splicer.step, entry=True)
            splicer.cut(start, stop, "".join(line + splicer.newline for line in written))
        else:
            splicer.replace(member, new, entry=True)

    def _append(self, splicer: Splicer) -> None:
        end = lines.own_end(self.text, self._member(-1))
        blank = self._separator()
        for slot in self.added:
            splicer.cut(end, end, blank + self._lines(slot, splicer.step))

    def _separator(self) -> str:
        if len(self.items) == 1:
            return ""
        gap = self.text[lines.own_end(self.text, self._member(-2)) : lines.lead(self.text, self._member(-1))]
        first = gap[: lines.next_line(gap, 0)]
        return first if first and not first.strip(" \t" + BREAKS) else ""

    def _restored(self, slot: Slot) -> str | None:
        """The words another version has for a slot, as they stand here; None where it has none that can."""
        if slot.excerpt is None or slot.excerpt.in_list != self.in_list:
            return None
        return slot.excerpt.at(self.column, self.newline)

    def _lines(self, slot: Slot, step: int) -> str:
        """The lines of a new entry."""
        if text := self._restored(slot):
            return text
        column = self.column or 0
        if self.in_list:
            written = emit.element(self._full(None, slot.name, slot.value), column, step, entry=True)
        else:
            first, *rest = emit.after_key(slot.value, column, step, entry=True)
            written = [f"{' ' * column}{emit.text(slot.name, flow=False)}:{first}", *rest]
        return "".join(line + self.newline for line in written)

    def _inline(self, slot: Slot) -> str:
        if text := self._restored(slot):
            return text
        value = emit.inline(self._full(None, slot.name, slot.value), entry=True)
        return value if self.in_list else f"{emit.text(slot.name, flow=True)}: {value}"

    def _begin(self, splicer: Splicer) -> None:
        """Write the first entries of a file, or of a section, that has none."""
        written = "".join(self._lines(slot, splicer.step) for slot in self.added)
        if wrapper := self.document.wrapper:
            colon = self.text.find(":", wrapper.key_end)
            comment = lines.comment_at(self.text, max(wrapper.end, colon + 1))
            end = lines.next_line(self.text, max(wrapper.end, colon))
            splicer.cut(colon + 1, end, comment + self.newline + written)
            return
        start, end = self.document.root
        if start < end:
            first = lines.line_start(self.text, start)
            alone = not self.text[first:start].strip() and not self.text[end : lines.line_end(self.text, end)].strip()
            splicer.cut(first if alone else start, lines.next_line(self.text, end) if alone else end)
        splicer.cut(self.document.stop, self.document.stop, written)

    def _is_flow_root(self) -> bool:
        return self.text[self.document.root[0]] == "{"
