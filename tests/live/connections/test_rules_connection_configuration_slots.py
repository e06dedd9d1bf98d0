"""The slots of a ConnectionConfiguration on a real API server, edit after edit: as people and GitOps change them."""

import json
from typing import Any

from tests.harness.api import Api
from tests.harness.connections import slots
from tests.harness.rule_cases import controller
from tests.live.connections.rules_connection_configuration import (
    KUBERNETES,
    ONLY_ACTIVE,
    SLOT_A,
    STILL_REVOKED,
    connection,
    put_on_record,
    record,
    revoked,
)

__all__ = ["connection", "controller"]

Json = dict[str, Any]


def test_a_slot_can_be_swapped_only_after_its_successor_is_active(admin: Api, controller: Api, connection: Any) -> None:
    """`[a]` to `[a,b]` to `[b]`, one after the other as a person does it."""
    body = connection(SLOT_A)
    admin.create(body).must_succeed()
    answers = []
    for tokens, names in (
        ([record("a")], "ab"),
        ([record("a")], "b"),
        ([record("b", 2, "Pending"), record("a")], "b"),
        ([record("b", 2), record("a")], "b"),
        ([record("b", 2), record("a")], "ab"),
        ([record("b", 2), revoked("a")], "ab"),
    ):
        put_on_record(controller, body, tokens)
        answers.append(admin.merge(body, {"spec": {"tokens": slots(*names)}}))

    assert [answer.succeeded for answer in answers] == [True, False, False, True, False, True]
    assert all(ONLY_ACTIVE in answer.message for answer in answers[1:3])
    assert STILL_REVOKED in answers[4].message


def test_slots_of_one_manager_replace_those_of_another(admin: Api, connection: Any) -> None:
    """As a list-map, what Git says would be merged into the default for ever (design.md, API decision 4)."""
    body = connection(KUBERNETES)
    admin.create(body).must_succeed()

    seen = []
    for manager, names in (("flux", ["ci", "default"]), ("flux", ["ci"]), ("argo", ["ci", "qa"]), ("argo", ["qa"])):
        applied = with_slots(body, names)
        admin.kubectl(
            "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-", stdin=applied
        )
        seen.append([slot["name"] for slot in admin.get(body)["spec"]["tokens"]])

    assert seen == [["ci", "default"], ["ci"], ["ci", "qa"], ["qa"]]


def with_slots(body: Json, names: list[str]) -> str:
    return json.dumps(body | {"spec": body["spec"] | {"tokens": slots(*names)}})


def test_a_manager_that_gives_up_its_slots_does_not_revoke_them(admin: Api, connection: Any) -> None:
    """An applier that leaves the list out would fall back to the default slot: refused, unless that is what it is."""
    body = connection(KUBERNETES | {"tokens": slots("ci")})
    admin.apply(body).must_succeed()

    answer = admin.apply(body | {"spec": KUBERNETES})

    assert not answer.succeeded
    assert ONLY_ACTIVE in answer.message
