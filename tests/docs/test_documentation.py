"""What the documentation lists is what the code has."""

import re
from dataclasses import fields
from pathlib import Path

from strawberry.utils.str_converters import to_camel_case

from app.http.errors import Code as EndpointCode
from app.http.errors import Refusal
from app.registry.manifest.model import Code as ManifestCode
from app.resolvers.limits import LIMITS
from app.schema.errors import handlers
from app.schema.system import Limits as SchemaLimits
from app.settings import PREFIX, Settings
from tests.support.codes import LINKS, refusals

ROOT = Path(__file__).resolve().parents[2]
FIRST_CELL = re.compile(r"^\| `([A-Z0-9_]+)` \|", re.MULTILINE)


def listed(page: str, section: str = "") -> set[str]:
    """The codes that the tables of a page list, or of one section of it."""
    text = (ROOT / "docs" / page).read_text()
    return set(FIRST_CELL.findall(text.partition(f"## {section}\n")[2].partition("\n## ")[0] if section else text))


def test_every_problem_of_a_manifest_is_documented() -> None:
    assert listed("problems.md") == {code.value for code in ManifestCode} | {"NOT_A_FILE"}


def test_every_error_code_is_documented_where_it_belongs_and_no_other() -> None:
    assert listed("errors.md", "Refusals of the registry") == refusals()
    assert listed("errors.md", "Refusals of the endpoint") == set(map(str, EndpointCode))
    assert listed("errors.md", "Refusals of signed links") == LINKS


def test_every_refusal_of_the_endpoint_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    told = {code: int(status) for code, status in rows if code not in LINKS}
    assert told == {str(code): Refusal(code, "").status for code in EndpointCode}


def test_every_refusal_that_is_a_member_of_a_result_is_one_of_the_registry() -> None:
    assert {handler.exception_type.code for handler in handlers()} <= refusals()


def test_every_code_that_closes_a_socket_is_documented() -> None:
    source = (ROOT / "app/http/websocket.py").read_text()
    said = set(re.findall(r"(?:_Close\(|_stop\(|_stop, )(\d{4})", source))
    by_the_frames = {"1002", "1007", "1009"}
    assert listed("errors.md", "Codes that close a socket") == said | by_the_frames


def test_every_limit_is_documented_with_its_number_and_its_refusal() -> None:
    text = (ROOT / "docs/limits.md").read_text()
    rows = re.findall(r"^\| `([A-Za-z]+)` \| ([0-9]+)[^|]*\|[^|]*\| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    shown = SchemaLimits.of(LIMITS)
    assert {name: int(number) for name, number, _ in rows} == {
        to_camel_case(one.name): int(getattr(shown, one.name)) for one in fields(SchemaLimits)
    }
    named = {code for *_, refusal in rows for code in re.findall(r"`([A-Z_]+)`", refusal)}
    assert named <= refusals() | set(map(str, EndpointCode))
    for code, status in re.findall(r"`([A-Z_]+)`, (\d{3})", text):
        assert Refusal(code, "").status == int(status), code


def test_every_setting_is_documented() -> None:
    assert listed("settings.md") == {PREFIX + name.upper() for name in Settings.model_fields}


def test_every_link_between_documents_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
