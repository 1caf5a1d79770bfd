"""Reading only what an edit changed comes to the same as reading everything."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.registry.manifest import DEFAULT_LIMITS, Document, ManifestRefusedError, Problem, parse

PLAIN = [
    "a: {x: 1}\n",
    "b:\n  x: 1\n  y: |\n    text\n    more\n",
    "c:\n  d: |+\n    keep\n\n\n",
    "# comment\n",
    "\n",
    "e:\n  - a\n  - b\n",
    "f:\n- a\n- b\n",
    "'q':\n  s: \"two\n   lines\"\n",
    "g:\n  type: set\n  labels: [a, b]\n",
    "y:\n  dataObjectId: 12\n",
]
NASTY = [
    *(
        "  # indented\n",
        "  k: v\n",
        "---\n",
        "...\n",
        "? x\n: y\n",
        ": z\n",
        "h: &n {a: 1}\n",
        "i: *n\n",
        "a:\n",
        "- z\n",
    ),
    *("j: plain\n  more\n", "l: [1,\n2]\n", 'm: "x\nn: y"\n', "    z: deep\n", "o:\n  t: >-\n    folded\n\n    text\n"),
    *("p: |\n", "!!str r: {}\n", "s: {}\r\n", "\tu: 1\n", "{a: {}}\n", "artifacts:\n  w: {}\n", "x: {object: 3}\n"),
    *(
        "%YAML 1.1\n",
        "\x01: {}\n",
        "bom: {k: \ufeff}\n",
        "1: {a: b}\n",
        "y2:\n  dataObjectId: 0x12\n  a: ?\n",
        "\u2028z: {}\n",
        "z:\n  a: 'it''s'\n\n",
    ),
]
ERASED = ["", "x", " ", "\n", ":", '"', "#", "-", "&a ", "  q: 1\n"]
files = st.lists(st.sampled_from(PLAIN), min_size=1, max_size=8, unique=True)
pieces = st.sampled_from(PLAIN + NASTY)


@st.composite
def revisions(draw: st.DrawFn) -> tuple[str, str]:
    """A file, and the same with a piece put in, taken out or replaced, or with a few characters overwritten."""
    before = draw(files)
    after = list(before)
    at = draw(st.integers(0, len(after)))
    after[at : at + draw(st.integers(0, 2))] = draw(st.lists(pieces, max_size=2))
    text = "".join(after)
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(st.sampled_from(ERASED)) + text[start + draw(st.integers(0, 2)) :]
    return "".join(before), text


def seen(text: str, before: Document | None = None) -> Any:
    """All that a reader or an editor could ask of a file, or the problems it is refused for."""
    try:
        document = parse(text.encode(), DEFAULT_LIMITS, before)
    except ManifestRefusedError as refused:
        return refused.problems
    outline = document.outline and (document.outline.flow, document.outline.start, document.outline.end)
    items = [(item.name, repr(item.value), item.span, item.named_by) for item in document.items]
    places = (document.wrapper, document.root, document.stop, document.links, document.added, document.nodes)
    return document.data, document.text, repr(document.manifest), items, outline, places


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(revisions())
def test_a_file_read_after_another_is_what_it_is_read_alone(revision: tuple[str, str]) -> None:
    old, new = revision
    assert seen(new, parse(old.encode(), DEFAULT_LIMITS)) == seen(new)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(files, st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1), st.integers(0, 3)), max_size=6))
def test_however_many_edits_were_read_one_after_the_other_places_are_what_they_are_alone(
    before: list[str], edits: list[tuple[int, int, int]]
) -> None:
    document = parse("".join(before).encode(), DEFAULT_LIMITS)
    for number, (at, gone, lines) in enumerate(edits):
        before = [*before[:at], "# comment\n" * lines, f"new{number}: {{}}\n", *before[at + gone :]]
        text = "".join(before)
        assert seen(text, document) == seen(text)
        document = parse(text.encode(), DEFAULT_LIMITS, document)


def test_an_edit_of_one_entry_does_not_read_the_others() -> None:
    old = parse(b"".join(b"e%d: {x: 1}\n" % number for number in range(100)), DEFAULT_LIMITS)
    new = parse(old.data.replace(b"e50: {x: 1}", b"e50: {x: 2}"), DEFAULT_LIMITS, old)
    same = [name for name in old.manifest.entries if new.manifest.entries[name] is old.manifest.entries[name]]
    assert len(same) >= 97


def test_what_would_break_the_file_is_refused_as_if_it_were_read_alone() -> None:
    old = parse(b"a: {x: 1}\nb: {x: 1}\n", DEFAULT_LIMITS)
    problems = seen("a: {x: 1}\na: {x: 2}\n", old)
    assert [problem.code for problem in problems if isinstance(problem, Problem)] == ["DUPLICATE_KEY"]
