"""Which lines of a manifest belong to what. All places are indexes of characters; a line ends with its break."""

import re

from app.registry.manifest.composer import BREAK, BREAKS
from app.registry.manifest.nodes import Member

_COMMENT = re.compile(f"[ \t]+#[^{BREAKS}]*")
_BLANK = re.compile(f"[ \t]*(?:\r\n|[{BREAKS}])")
_COMMENT_LINE = re.compile(f"([ \t]*)#[^{BREAKS}]*(?:\r\n|[{BREAKS}])")
# Possessive, since each comment can be read in one way only: a row of them must not be tried in all others.
_TO_COMMA = re.compile(f"(?:[ \t{BREAKS}]|(?<=[ \t{BREAKS}])#[^{BREAKS}]*+)*+,")


def line_start(text: str, index: int) -> int:
    """Where the line of `index` begins."""
    while index and text[index - 1] not in BREAKS:
        index -= 1
    return index


def line_end(text: str, index: int) -> int:
    """Where the line of `index` ends, its break left out."""
    match = BREAK.search(text, index)
    return match.start() if match else len(text)


def next_line(text: str, index: int) -> int:
    """Where the line after that of `index` begins."""
    match = BREAK.search(text, index)
    return match.end() if match else len(text)


def lead(text: str, member: Member) -> int:
    """Where the first line of a member of a block collection begins; a list's item begins at its dash."""
    start = line_start(text, member.start)
    if member.key is None:
        while start and not text[start : member.start].lstrip(" ").startswith("-"):
            start = line_start(text, start - 1)
    return start


def column(text: str, member: Member) -> int:
    """How far a member of a block collection is indented: its key, or its dash."""
    start = lead(text, member)
    if member.key is None:
        return text.index("-", start) - start
    explicit = text.find("?", start, member.start)
    return (member.start if explicit < 0 else explicit) - start


def own_end(text: str, member: Member) -> int:
    """Where a block member's own lines end: after its content and the comment lines below indented deeper than it."""
    end = at = next_line(text, member.value.end)
    indent = column(text, member)
    while at < len(text):
        if match := _COMMENT_LINE.match(text, at):
            if len(match.group(1)) <= indent:
                break
            end = match.end()
        elif not (match := _BLANK.match(text, at)):
            break
        at = match.end()
    return end


def own(text: str, member: Member, *, flow: bool) -> tuple[int, int]:
    """Where the own text of a member begins and ends: whole lines of a block one; of a flow one, its key and value."""
    return (member.start, member.value.end) if flow else (lead(text, member), own_end(text, member))


def comment_at(text: str, index: int) -> str:
    """The comment that ends the line at `index`, with the space before it; empty when there is none."""
    match = _COMMENT.match(text, index)
    return match.group() if match else ""


def comma_after(text: str, index: int) -> int | None:
    """Where the comma is that follows a flow member ending at `index`."""
    match = _TO_COMMA.match(text, index)
    return match.end() - 1 if match else None


def is_blank(text: str, start: int, stop: int) -> bool:
    """Whether nothing but space and a comment stands between two places of one line."""
    rest = text[start:stop].strip()
    return not rest or rest.startswith("#")
