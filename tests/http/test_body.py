"""What is written as JSON: the same values as the standard library writes, whoever writes them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.http.body import encode_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
@example({"half": "\ud83d", "large": 2**64, "most": 2**64 - 1, "least": -(2**63)})
def test_what_is_written_is_read_again(value: Any) -> None:
    written = json.loads(encode_json(value))
    assert written == value
    assert json.dumps(written) == json.dumps(value)


@pytest.mark.parametrize("value", [datetime.now(UTC), {1, 2}, b"bytes"])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode_json({"data": value})
