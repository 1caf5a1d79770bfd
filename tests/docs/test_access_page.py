"""The page about access: its example is a policy, and its table has every role."""

import re

from app.registry.access.file import ROLES, read_policy
from app.registry.access.oidc import ALGORITHMS
from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "access.md").read_text()


def test_the_example_is_a_policy_with_all_there_can_be() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    policy = read_policy(example.encode())
    assert (len(policy.tokens), len(policy.grants), len(policy.protections)) == (1, 4, 2)
    assert {one.role for one in policy.grants} == {*ROLES.values()}


def test_every_role_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)[: len(ROLES)] == [*ROLES]


def test_every_algorithm_is_named() -> None:
    assert all(name in PAGE for name in ALGORITHMS)
