"""Reading versions of a manifest as steps from one to the next comes to the same as reading each whole."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.registry.manifest import DEFAULT_LIMITS, Manifest, ManifestRefusedError, Sketch, parse, read
from tests.registry.test_manifest_revised import revisions

FILE = "".join(f"e{number}: {{x: {number}}}\n" for number in range(10))


def sketch(text: str) -> Sketch:
    made = Sketch.of(parse(text.encode(), DEFAULT_LIMITS))
    assert made
    return made


def whole(text: str) -> Manifest | None:
    try:
        return read(text.encode())
    except ManifestRefusedError:
        return None


@settings(max_examples=600, deadline=None)
@given(st.lists(revisions(), min_size=1, max_size=3))
def test_a_step_tells_of_every_entry_that_differs_and_leads_to_what_is_there(pairs: list[tuple[str, str]]) -> None:
    made = Sketch.of(parse(pairs[0][0].encode(), DEFAULT_LIMITS))
    before = read(pairs[0][0].encode())
    for text in [pairs[0][1], *(one for pair in pairs[1:] for one in pair)]:
        after = whole(text)
        try:
            step = made.step(text.encode(), DEFAULT_LIMITS) if made else None
        except ManifestRefusedError:
            assert after is None
            return
        if step is None:
            if after is None:
                return
            made, before = Sketch.of(parse(text.encode(), DEFAULT_LIMITS)), after
            continue
        assert after is not None
        assert not after.problems
        assert {**without(before, step.before), **step.after} == dict(after.entries)
        assert without(before, step.before) == without(after, step.after)
        assert [step.sketch.entry(name) for name in after.entries] == list(after.entries.values())
        assert step.sketch.whole().entries == after.entries
        made, before = step.sketch, after


def without(manifest: Manifest, names: object) -> dict[str, object]:
    assert isinstance(names, dict)
    return {name: entry for name, entry in manifest.entries.items() if name not in names}


def test_a_step_reads_no_more_than_what_differs() -> None:
    step = sketch(FILE).step(FILE.replace("x: 5", "x: 55").encode(), DEFAULT_LIMITS)
    assert step
    assert "e5" in step.after
    assert len(step.after) <= 2


def test_a_name_that_is_taken_elsewhere_makes_the_whole_be_read() -> None:
    assert sketch(FILE).step(FILE.replace("e5:", "e1:").encode(), DEFAULT_LIMITS) is None


def test_an_entry_that_is_not_there_is_none() -> None:
    assert sketch(FILE).entry("f") is None
