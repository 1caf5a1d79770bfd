"""Headers made from what users wrote."""

import re

import pytest

from app.stores.objects.headers import content_disposition, media_type


@pytest.mark.parametrize("text", ["text/html; charset=utf-8", 'a/b; c="d e"', "application/vnd.x+json"])
def test_a_media_type_is_kept_as_it_is(text: str) -> None:
    assert media_type(text) == text


@pytest.mark.parametrize("text", ["", "tsv", "a/b\r\nSet-Cookie: x", "a/b\n", "a/ü", "a/b; c", "a/" + "b" * 255])
def test_what_is_no_media_type_is_bytes_of_no_known_kind(text: str) -> None:
    assert media_type(text) == "application/octet-stream"


@pytest.mark.parametrize("filename", ['a"; filename="b.exe', "a\r\nSet-Cookie: x", "../../etc/passwd", "ж\ud800"])
def test_a_file_name_cannot_say_anything_but_a_name(filename: str) -> None:
    header = content_disposition(filename)
    assert re.fullmatch(r"attachment; filename=\"[ !#-~]*\"; filename\*=UTF-8''[!#$&+.^_`|~0-9A-Za-z%-]*", header)
    assert "/" not in header


def test_a_download_without_a_name_is_still_an_attachment() -> None:
    assert content_disposition(None) == content_disposition("") == "attachment"
