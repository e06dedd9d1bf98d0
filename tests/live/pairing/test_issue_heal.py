"""A Secret of ours that was deleted or edited is healed, another user's is never touched (S3, S22)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
    wait_until_gone,
)
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

HEALED_WITHIN = 5.0
# The garbage collector of a fresh control plane learns of a new kind within half a minute, and then acts at once.
GARBAGE_COLLECTED_WITHIN = 45.0
FOREIGN_TYPE = "example.com/foreign"


@pytest.fixture
def namespace(make_namespace: Callable[[str], str], system: System) -> str:
    return make_namespace("heal")


def content(secret: Json) -> Json:
    """What we answer for in a Secret: all but the bookkeeping of the API server."""
    meta = {key: secret["metadata"].get(key) for key in ("name", "labels", "ownerReferences")}
    return {"meta": meta, "data": secret.get("data"), "type": secret["type"], "immutable": secret.get("immutable")}


def foreign_secret(body: Json, **metadata: object) -> Json:
    """Somebody else's Secret under the name of ours."""
    secret = secret_of(body)
    return secret | {
        "metadata": secret["metadata"] | metadata,
        "type": FOREIGN_TYPE,
        "data": {"token": "bm90IG91cnM="},
    }


# Ours.


def _deleted(admin: Api, secret: Json) -> None:
    admin.delete(secret).must_succeed()


def _edited(admin: Api, secret: Json) -> None:
    admin.merge(secret, {"data": {"token": "Zm9yZ2Vk", "expires-in": None, "ca.crt": None}}).must_succeed()


def _stripped_of_labels(admin: Api, secret: Json) -> None:
    admin.merge(secret, {"metadata": {"labels": None}}).must_succeed()


def _relabelled(admin: Api, secret: Json) -> None:
    admin.merge(secret, {"metadata": {"labels": {"tallystick.dev/token-id": "another"}}}).must_succeed()


def _frozen_with_other_data(admin: Api, secret: Json) -> None:
    admin.merge(secret, {"immutable": True, "data": {"token": "Zm9yZ2Vk"}}).must_succeed()


def _recreated_with_another_token(admin: Api, secret: Json) -> None:
    admin.delete(secret).must_succeed()
    kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    admin.create(secret | {"metadata": kept, "data": {"token": "Zm9yZ2Vk"}})


@pytest.mark.parametrize(
    "damage",
    [_deleted, _edited, _stripped_of_labels, _relabelled, _frozen_with_other_data, _recreated_with_another_token],
)
def test_the_secret_is_back_within_five_seconds_with_the_same_token(
    admin: Api, namespace: str, damage: Callable[[Api, Json], None]
) -> None:
    body = a_pairing_token(namespace)
    before, secret = issued(admin, body)

    damage(admin, secret)

    poll(
        lambda: content(admin.find(secret_of(body)) or secret | {"type": ""}) == content(secret), seconds=HEALED_WITHIN
    )
    after = admin.get(body)
    assert value_of(admin.get(secret_of(body)), "token-id") == before["status"]["tokenID"]
    assert after["status"] == before["status"]


def test_labels_of_others_on_the_secret_are_left_alone(admin: Api, system: System, namespace: str) -> None:
    body = a_pairing_token(namespace)
    issued(admin, body)
    trail = Trail(system.plane.audit_log)
    mark = trail.mark()

    admin.merge(secret_of(body), {"metadata": {"labels": {"team": "blue"}}}).must_succeed()

    assert trail.settled(admin, namespace, since=mark) == []
    assert admin.get(secret_of(body))["metadata"]["labels"]["team"] == "blue"


# Somebody else's.


def test_a_secret_of_another_user_is_left_alone_and_the_token_is_issued_when_it_is_gone(
    admin: Api, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    foreign = admin.create(foreign_secret(body)).must_succeed()
    admin.create(body).must_succeed()

    token = wait_for_reason(admin, body, "SecretConflict")
    event = poll(lambda: admin.find_all("Event", namespace))[0]

    assert token["status"]["state"] == "Pending"
    assert condition(token, "Ready")["status"] == "False"
    assert condition(token, "Stalled")["message"] == (
        f"Secret {namespace}/site-a-pairing-token already exists and is not owned by PairingToken {namespace}/site-a. "
        "Delete the Secret, or create a PairingToken with a different spec.secretName."
    )
    assert (event["type"], event["reason"]) == ("Warning", "SecretConflict")
    assert admin.get(foreign) == foreign
    admin.delete(foreign).must_succeed()
    assert condition(wait_for_state(admin, body, "Active"), "Stalled") == {}


def test_a_secret_that_only_looks_like_ours_is_left_alone(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    labels = {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "PairingToken",
        "tallystick.dev/name": "site-a",
    }
    foreign = admin.create(foreign_secret(body, labels=labels)).must_succeed()
    admin.create(body).must_succeed()

    wait_for_reason(admin, body, "SecretConflict")

    assert admin.get(foreign) == foreign


def test_a_secret_that_was_put_in_the_place_of_ours_is_left_alone_and_noticed(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    before, secret = issued(admin, body)

    admin.merge(secret, {"metadata": {"ownerReferences": None}}).must_succeed()
    disowned = admin.get(secret)
    token = wait_for_reason(admin, body, "SecretConflict", seconds=HEALED_WITHIN)

    assert token["status"]["state"] == "Active"
    assert token["status"]["tokenID"] == before["status"]["tokenID"]
    assert admin.get(secret) == disowned


# Gone.


def test_a_deleted_token_takes_its_secret_along(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    issued(admin, body)

    admin.delete(body).must_succeed()

    wait_until_gone(admin, secret_of(body), seconds=GARBAGE_COLLECTED_WITHIN)


def test_a_token_that_is_made_again_under_its_old_name_is_another_one(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    before, secret = issued(admin, body)
    admin.delete(body).must_succeed()

    admin.create(body).must_succeed()
    after = wait_for_state(admin, body, "Active", seconds=GARBAGE_COLLECTED_WITHIN)

    assert after["status"]["tokenID"] != before["status"]["tokenID"]
    assert value_of(admin.get(secret_of(body)), "token") != value_of(secret, "token")
