"""Revoking tokens that are in use is allowed, and says whom it cuts off, on a real API server (R23)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.connections import slots
from tests.live.connections.policies import build, controller, people
from tests.live.connections.rules_connection_configuration import record, recorded

__all__ = ["build", "controller", "people"]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("cut-off")


def warnings(api: Api, *arguments: str) -> list[str]:
    """Run a kubectl command that must succeed, and return what it warns of."""
    done = api._run_kubectl(arguments, None)
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("Warning: ") for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    prefix = "Validation failed for ValidatingAdmissionPolicy 'cut-off."
    assert all(line.startswith(prefix) for line in lines), lines
    return [line.split("': ", 1)[1] for line in lines]


def edited(api: Api, body: Json, patch: str, *flags: str) -> list[str]:
    meta = body["metadata"]
    return warnings(
        api, "patch", "cconf", meta["name"], "-n", meta["namespace"], "--type=merge", f"--patch={patch}", *flags
    )


def deleted(api: Api, body: Json, *flags: str) -> list[str]:
    meta = body["metadata"]
    return warnings(api, "delete", "cconf", meta["name"], "-n", meta["namespace"], *flags)


def in_use(admin: Api, controller: Api, body: Json, *tokens: Json) -> None:
    """Create the object, with these tokens on record."""
    admin.create(body).must_succeed()
    controller.replace(body | {"status": recorded(*tokens)}, subresource="status").must_succeed()


@pytest.mark.parametrize(("instances", "counted"), [(1, "1 instance"), (2, "2 instances"), (2000, "2000 instances")])
def test_a_user_who_removes_a_slot_in_use_is_warned_of_how_many_it_cuts_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any, instances: int, counted: str
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=7), record("a", 1, instances=instances))
    text = [f"revoking the token of slot a cuts off {counted} that last used it"]
    patch = '{"spec": {"tokens": [{"name": "b"}]}}'

    asked = edited(people["edit"], body, patch, "--dry-run=server")
    done = edited(people["edit"], body, patch)

    assert (asked, done) == (text, text)
    assert admin.get(body)["spec"]["tokens"] == slots("b")


def with_end(end: str | None) -> str:
    return json.dumps({"spec": {"licenseExpiresAt": end}})


def ends(end: str, counted: str) -> str:
    return (
        f"the end of the license at {end} cuts off {counted} that last used a token. "
        "If this time has passed, it cuts them off at once"
    )


def test_an_end_that_is_set_or_moved_earlier_says_when_and_how_many_it_cuts_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    """The end of all tokens is as much of a cut as the end of one."""
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=2), record("a", 1, instances=1))
    edits = ["2032-01-01T12:00:00Z", "2031-01-01T12:00:00.000Z", "2030-06-01T14:00:00+02:00", "2029-01-01T12:00:00Z"]

    said = [edited(people["edit"], body, with_end(end)) for end in edits]

    assert said == [[ends(end, "3 instances")] for end in edits]


def test_an_end_that_is_moved_later_or_stays_or_cuts_no_instance_off_gives_no_warning(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body, unused = build("a"), build("a")
    in_use(admin, controller, body, record("a", instances=1))
    in_use(admin, controller, unused, record("b", 2, "Revoked", instances=5), record("a"))
    first = edited(people["edit"], body, with_end("2031-01-01T12:00:00Z"))
    known = recorded(record("a", instances=1, notAfter="2031-01-01T12:00:00Z"))
    controller.replace(body | {"status": known}, subresource="status").must_succeed()

    later = [
        edited(people["edit"], body, with_end(end)) for end in ("2031-01-01T14:00:00+02:00", "2032-01-01T12:00:00Z")
    ]
    edit_of_unused = edited(people["edit"], unused, with_end("2031-01-01T12:00:00Z"))

    assert first == [ends("2031-01-01T12:00:00Z", "1 instance")]
    assert [*later, edit_of_unused] == [[], [], []]


def test_an_end_and_a_removed_slot_in_one_edit_are_both_said_of_those_whom_they_cut_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=2), record("a", 1, instances=7))
    patch = '{"spec": {"tokens": [{"name": "b"}], "licenseExpiresAt": "2031-01-01T12:00:00Z"}}'

    said = edited(people["edit"], body, patch)

    removed = "revoking the token of slot a cuts off 7 instances that last used it"
    assert sorted(said) == sorted([removed, ends("2031-01-01T12:00:00Z", "2 instances")])


def test_a_typo_in_an_end_is_refused_with_both_times(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a")
    in_use(admin, controller, body, record("a", instances=3))

    refused = people["edit"].merge(body, {"spec": {"licenseExpiresAt": "2020-01-01T00:00:00Z"}})

    assert refused.message.endswith(
        "licenseExpiresAt 2020-01-01T00:00:00Z must not be before the newest token was issued at "
        "2029-01-01T12:00:00Z; to revoke all tokens at once, set the current time"
    )
    assert "licenseExpiresAt" not in admin.get(body)["spec"]


def test_a_user_who_deletes_an_object_is_warned_of_each_slot_in_use(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=1), record("a", 1, instances=30))

    (said,) = deleted(people["edit"], body)

    assert said == (
        "revoking the token of slot b cuts off 1 instance that last used it; "
        "revoking the token of slot a cuts off 30 instances that last used it"
    )
    assert admin.find(body) is None


def test_an_edit_that_cuts_off_no_instance_gets_no_warning(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    """Neither a slot that nobody uses, nor one that stays, nor a token that was revoked before."""
    body = build("a", "b")
    in_use(admin, controller, body, record("c", 3, "Revoked", instances=9), record("b", 2), record("a", 1, instances=5))
    unused = build("a")
    in_use(admin, controller, unused, record("b", 2, "Revoked", instances=3), record("a"))

    assert edited(people["edit"], body, '{"spec": {"description": "cameras"}}') == []
    assert edited(people["edit"], body, '{"spec": {"tokens": [{"name": "a"}]}}') == []
    assert deleted(people["edit"], unused) == []
    assert admin.find(unused) is None


def test_an_object_without_a_status_is_edited_and_deleted_in_silence(
    admin: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    admin.create(body).must_succeed()

    assert edited(people["edit"], body, '{"spec": {"tokens": [{"name": "b"}]}}') == []
    assert deleted(people["edit"], body) == []
