"""What the documentation lists is what the code has."""

import re
from pathlib import Path

from app.http.errors import Code as EndpointCode
from app.registry import errors
from app.registry.manifest.model import Code as ManifestCode
from app.schema.limits import LIMIT_EXCEEDED
from app.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
FIRST_CELL = re.compile(r"^\| `([A-Z0-9_]+)` \|", re.MULTILINE)


def listed(page: str) -> set[str]:
    return set(FIRST_CELL.findall((ROOT / "docs" / page).read_text()))


def refusals(kind: type[errors.RegistryError]) -> set[str]:
    below = {code for subclass in kind.__subclasses__() for code in refusals(subclass)}
    return below | ({kind.code} if hasattr(kind, "code") else set())


def test_every_problem_of_a_manifest_is_documented() -> None:
    assert listed("problems.md") == {code.value for code in ManifestCode} | {"NOT_A_FILE"}


def test_every_error_code_is_documented() -> None:
    assert listed("errors.md") == refusals(errors.RegistryError) | {*map(str, EndpointCode), LIMIT_EXCEEDED}


def test_every_setting_is_documented() -> None:
    assert listed("settings.md") == {PREFIX + name.upper() for name in Settings.model_fields}


def test_every_link_between_documents_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
