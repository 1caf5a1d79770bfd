"""The official audits of GraphQL over HTTP, run against a started server by the package that brings them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server

PACKAGE = ROOT / "web" / "node_modules" / "graphql-http"
NODE = shutil.which("node", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
COUNT = 61
OVERTAKEN = {
    "572B": "wants 200 for a document that does not parse: answers in application/json had a section, which is gone",
    "FDE2": "wants 200 for a document that does not validate: from the same section",
    "7B9B": "wants 200 for variables that do not fit: from the same section",
    "86EE": "wants 400 for variables that do not fit: the specification of September 2026 has 422",
}
"""Audits that hold a server to an older draft, and what they want of it."""

pytestmark = pytest.mark.skipif(
    NODE is None or not PACKAGE.is_dir(), reason="Node.js or what web/ installs is not there: npm --prefix web ci"
)


def test_every_audit_passes_but_those_that_the_specification_has_overtaken(shared_server: Server) -> None:
    assert NODE
    command = [NODE, str(ROOT / "tests/support/audits.mjs"), f"{shared_server.url}/graphql"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = {audit["id"]: audit for audit in map(json.loads, said.splitlines())}
    assert len(found) == COUNT
    failed = {name: audit for name, audit in found.items() if audit["status"] != "ok"}
    assert failed.keys() == OVERTAKEN.keys(), failed
