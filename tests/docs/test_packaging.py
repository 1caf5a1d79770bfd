"""What is locked and what is shipped."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def test_every_locked_dependency_has_a_version_and_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", lock, re.MULTILINE)
    assert len(pins) > 40
    assert len(re.findall(r"^[^\s#].*\\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)) == len(pins)
    assert "://" not in lock


def test_what_is_locked_fits_what_is_asked_for() -> None:
    lock = dict(
        re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for asked in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        assert lock[canonicalize_name(asked.name)] in asked.specifier, asked


def test_the_lock_of_the_page_names_packages_by_hash_and_no_address() -> None:
    packages = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    assert len(packages) > 10
    assert all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "app/explorer/index.html").exists(), reason="the page was not built: make setup")
def test_a_wheel_carries_the_built_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    built = {f"app/explorer/{file.name}" for file in (ROOT / "app/explorer").iterdir() if file.is_file()}
    assert built <= names
    assert "app/main.py" in names
    assert not any(name.startswith(("tests/", "web/")) for name in names)
