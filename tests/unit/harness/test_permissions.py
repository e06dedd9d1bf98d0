"""`make permissions`: which rules of a role are left, and how a run of a test without one permission is judged."""

import pytest

from tests.chart.live.permissions import Permission, granted, is_in, without
from tests.mutations.workspace import Outcome
from tests.permissions.__main__ import judged
from tests.permissions.needed import NEEDED_BY

RULES = [
    {"apiGroups": [""], "resources": ["secrets", "events"], "verbs": ["get", "create"]},
    {"apiGroups": ["tallystick.dev"], "resources": ["devices"], "verbs": ["get"]},
]
ROLE = "controller.tallystick.tallystick-system.tallystick.dev"


def named(rules: list[dict[str, list[str]]]) -> set[str]:
    """The permissions of a ClusterRole with these rules."""
    metadata = {"name": ROLE}
    role = {"kind": "ClusterRole", "metadata": metadata, "rules": rules}
    subjects = [{"name": "tallystick-controller"}]
    ref = {"kind": "ClusterRole", "name": ROLE}
    binding = {"kind": "ClusterRoleBinding", "metadata": metadata, "roleRef": ref, "subjects": subjects}
    return {str(permission) for permission in granted([role, binding])}


@pytest.mark.parametrize("taken", sorted(named(RULES)))
def test_one_permission_is_taken_away_and_no_other(taken: str) -> None:
    left = without(RULES, Permission.parse(taken))

    assert named(left) == named(RULES) - {taken}
    assert len(named(RULES)) == 5


def test_the_name_of_a_rule_stays() -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update"], "resourceNames": ["keyring"]}

    assert without([rule], Permission("exchange", "home", "secrets", "get")) == [{**rule, "verbs": ["update"]}]


@pytest.mark.parametrize(
    ("role", "permission", "expected"),
    [
        ("controller.a.b.tallystick.dev", "controller served secrets get", True),
        ("controller.a.b.tallystick.dev", "controller home secrets get", False),
        ("controller.a.b.tallystick.dev", "exchange served secrets get", False),
        ("controller-home.a.b.tallystick.dev", "controller home secrets get", True),
        ("controller-home.a.b.tallystick.dev", "controller served secrets get", False),
        ("exchange-reviews.a.b.tallystick.dev", "exchange served tokenreviews.authentication.k8s.io create", True),
    ],
)
def test_a_role_grants_where_its_name_says(role: str, permission: str, *, expected: bool) -> None:
    assert is_in(role, Permission.parse(permission)) is expected


@pytest.mark.parametrize(
    ("code", "output", "outcome"),
    [
        (0, "1 passed in 3.0s", Outcome.PASSED),
        (1, "FAILED tests/a.py::test_b - AssertionError: still not so after 20 s\n1 failed in 30s", Outcome.FAILED),
        (1, "ERROR tests/a.py::test_b - AssertionError: still not so after 20 s\n1 error in 30s", Outcome.FAILED),
        (1, "no summary", Outcome.UNUSABLE),
        # No test was collected, or the command line is wrong.
        (5, "no tests ran in 0.0s", Outcome.UNUSABLE),
        (4, "ERROR: file or directory not found: tests/a.py", Outcome.UNUSABLE),
    ],
)
def test_a_run_is_judged_by_its_status_and_its_summary(code: int, output: str, outcome: Outcome) -> None:
    assert judged("exchange served devices get", "a.py::test_b", code, output).outcome is outcome


def test_the_reason_is_that_of_the_first_failure() -> None:
    run = judged("", "a.py::test_b", 1, "....\nFAILED tests/a.py::test_b - KeyError: 'x'\n")

    assert run.reason == "KeyError: 'x'"


def test_each_permission_is_written_as_the_program_writes_it() -> None:
    assert [text for text in NEEDED_BY if str(Permission.parse(text)) != text] == []
