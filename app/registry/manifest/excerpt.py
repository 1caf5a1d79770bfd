"""An entry in the words it was written in, cut out of one version of a file to stand in another."""

from dataclasses import dataclass

from app.registry.manifest import lines
from app.registry.manifest.nodes import Member
from app.registry.manifest.reader import Document


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The own text of an entry, which is an item of a list or a pair of a mapping.

    In block style it is whole lines, and `column` is how far its key or dash is indented; in flow style `column` is
    None.
    """

    text: str
    column: int | None
    in_list: bool

    def at(self, column: int | None, newline: str) -> str | None:
        """The text as it stands at another column (None: in flow style); None where it cannot stand there."""
        text = self.text.replace("\r\n", "\n").replace("\n", newline)
        if column is None or self.column is None:
            return text if column == self.column else None
        return _shifted(text, column - self.column)


def excerpt_of(document: Document, name: str) -> Excerpt | None:
    """The excerpt of an entry; None when it is not there, or shares values with other entries."""
    item = document.items.named(name)
    if item is None:
        return None
    member = Member.of(item.span)
    flow = bool(document.outline and document.outline.flow)
    start, end = lines.own(document.text, member, flow=flow)
    if any((start <= alias < end) != (start <= anchor < end) for alias, anchor in document.links):
        return None
    column = None if flow else lines.column(document.text, member)
    return Excerpt(document.text[start:end], column, member.key is None)


def _shifted(text: str, by: int) -> str | None:
    """Lines that are indented by so much more, or less; None when one has too little, which a blank one may have."""
    shifted = []
    for line in text.splitlines(keepends=True):
        content = line.lstrip(" ")
        indent = len(line) - len(content)
        blank = not content.strip()
        if not blank and indent + by < 0:
            return None
        shifted.append(content if blank and not indent else " " * (indent + by) + content)
    return "".join(shifted)
