"""How a pairing token ends, and what `kubectl` shows of it: expired, revoked, issued again."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tallystick.registry import KINDS
from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    secret_of,
    value_of,
    wait_for_state,
    wait_until_gone,
    with_spec,
)
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]


@pytest.fixture
def namespace(make_namespace: Callable[[str], str], system: System) -> str:
    return make_namespace("end")


@pytest.fixture(scope="module")
def trail(system: System) -> Trail:
    return Trail(system.plane.audit_log)


def expired(admin: Api, system: System, body: Json) -> tuple[Json, Json]:
    """Issue a token and let its time pass; return it as it was and as it is."""
    before, _ = issued(admin, body)
    system.clock.advance(timedelta(seconds=before["status"]["expiresIn"]))
    return before, wait_for_state(admin, body, "Expired")


def revoked(admin: Api, body: Json) -> tuple[Json, Json]:
    """Issue a token and revoke it; return it as it was and as it is."""
    before, _ = issued(admin, body)
    admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
    return before, wait_for_state(admin, body, "Revoked")


# Expired.


def test_a_token_that_no_one_redeemed_expires_and_says_what_to_do(admin: Api, system: System, namespace: str) -> None:
    body = a_pairing_token(namespace, ttl="10s")

    before, after = expired(admin, system, body)

    wait_until_gone(admin, secret_of(body))
    assert (condition(after, "Ready"), condition(after, "Stalled")) == ({}, {})
    assert condition(after, "Ended")["message"] == (
        "the token expired: no client redeemed it within 10 seconds; raise spec.serial to 2 to issue a new one"
    )
    assert after["status"]["tokenID"] == before["status"]["tokenID"]
    (event,) = poll(lambda: admin.find_all("Event", namespace))
    assert (event["type"], event["reason"]) == ("Warning", "Expired")
    assert event["message"] == condition(after, "Ended")["message"]


def test_an_expiry_costs_a_status_and_the_deletion_of_the_secret(
    admin: Api, system: System, trail: Trail, namespace: str
) -> None:
    body = a_pairing_token(namespace, ttl="10s")
    issued(admin, body)
    mark = trail.mark()

    system.clock.advance(timedelta(seconds=10))
    wait_until_gone(admin, secret_of(body))

    written = [write for write in trail.settled(admin, namespace, since=mark) if "events" not in write]
    assert sorted(written) == ["delete secrets site-a-pairing-token", "update pairingtokens/status site-a"]


def test_the_secret_of_an_expired_token_does_not_come_back(
    admin: Api, system: System, trail: Trail, namespace: str
) -> None:
    body = a_pairing_token(namespace, ttl="10s")
    _, secret = issued(admin, body)
    kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    system.clock.advance(timedelta(seconds=10))
    wait_until_gone(admin, secret_of(body))

    # Somebody puts a copy back, as a restore of a backup does.
    admin.create(secret | {"metadata": kept}).must_succeed()

    wait_until_gone(admin, secret_of(body))
    assert wait_for_state(admin, body, "Expired")


def test_a_raised_serial_issues_another_token_after_expiry(admin: Api, system: System, namespace: str) -> None:
    body = a_pairing_token(namespace, ttl="10s")
    before, _ = expired(admin, system, body)

    admin.kubectl_apply(with_spec(body, serial=2)).must_succeed()
    after = wait_for_state(admin, body, "Active")

    assert after["status"]["serial"] == 2
    assert after["status"]["tokenID"] != before["status"]["tokenID"]
    assert value_of(admin.get(secret_of(body)), "token-id") == after["status"]["tokenID"]
    assert condition(after, "Stalled") == {}


def test_a_raised_serial_replaces_a_token_that_is_still_active(admin: Api, trail: Trail, namespace: str) -> None:
    body = a_pairing_token(namespace)
    before, secret = issued(admin, body)
    mark = trail.mark()

    admin.kubectl_apply(with_spec(body, serial=2)).must_succeed()
    after = wait_for_state(admin, body, "Active")

    fresh = admin.get(secret_of(body))
    assert after["status"]["serial"] == 2
    assert after["status"]["tokenID"] != before["status"]["tokenID"]
    assert value_of(fresh, "token-id") == after["status"]["tokenID"]
    assert fresh["metadata"]["uid"] == secret["metadata"]["uid"]
    assert trail.settled(admin, namespace, since=mark) == [
        "create secrets site-a-pairing-token (409)",  # it is there already: so the controller learns what is in it
        "update secrets site-a-pairing-token",
        "update pairingtokens/status site-a",
    ]


# Revoked.


def test_a_revoked_token_says_so_and_its_secret_is_gone(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)

    _, after = revoked(admin, body)

    wait_until_gone(admin, secret_of(body))
    assert (after["status"]["revokedThrough"], after["status"]["serial"]) == (1, 1)
    assert after["status"]["revokedTime"]
    assert condition(after, "Ended")["message"] == (
        "the token and its master token are revoked; "
        "raise spec.serial to 2 and set spec.revoked to false to issue a new one"
    )


def test_a_revocation_costs_a_status_and_the_deletion_of_the_secret(admin: Api, trail: Trail, namespace: str) -> None:
    body = a_pairing_token(namespace)
    issued(admin, body)
    mark = trail.mark()

    admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
    wait_until_gone(admin, secret_of(body))

    written = [write for write in trail.settled(admin, namespace, since=mark) if "events" not in write]
    assert written == ["update pairingtokens/status site-a", "delete secrets site-a-pairing-token"]


def test_a_token_that_is_revoked_from_the_start_is_never_issued(admin: Api, trail: Trail, namespace: str) -> None:
    body = a_pairing_token(namespace, revoked=True)
    admin.create(body).must_succeed()

    wait_for_state(admin, body, "Revoked")

    written = [write for write in trail.settled(admin, namespace) if "events" not in write]
    assert written == ["update pairingtokens/status site-a"]


def test_a_revoked_token_is_issued_again_by_the_edit_that_says_it_is_not_revoked(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    before, _ = revoked(admin, body)

    still_revoked = admin.kubectl_apply(with_spec(body, serial=2, revoked=True))
    admin.kubectl_apply(with_spec(body, serial=2, revoked=False)).must_succeed()
    after = wait_for_state(admin, body, "Active")

    assert "set it to false in the edit that raises spec.serial" in still_revoked.message
    assert after["status"]["tokenID"] != before["status"]["tokenID"]
    assert after["status"]["revokedThrough"] == 1
    assert "revokedTime" not in after["status"]


# What kubectl shows.


def test_kubectl_wait_knows_when_a_token_is_ready(admin: Api, namespace: str) -> None:
    admin.kubectl_apply(a_pairing_token(namespace)).must_succeed()

    said = admin.kubectl("wait", "-n", namespace, "--for=condition=Ready", "ptok/site-a", "--timeout=120s")

    assert said == "pairingtoken.tallystick.dev/site-a condition met\n"


def test_kubectl_get_shows_what_a_person_wants_to_know(admin: Api, namespace: str) -> None:
    token, _ = issued(admin, a_pairing_token(namespace))
    status = token["status"]

    header, row = admin.kubectl("get", "ptok", "-n", namespace).splitlines()
    wide_header, wide_row = admin.kubectl("get", "ptok", "-n", namespace, "-o", "wide").splitlines()

    assert " ".join(header.split()) == "NAME STATE DEVICES ROTATION EXPIRES REASON AGE"
    assert row.split()[:-1] == [
        *("site-a", "Active", status["expirationTime"], "Issued"),
    ]
    assert " ".join(wide_header.split()) == (
        "NAME STATE TOKEN ID USE CASE DEVICES ROTATION PURPOSE LIFETIME EXPIRES REASON MESSAGE AGE"
    )
    assert wide_row.split()[2:6] == [status["tokenID"], "mission-control", "Service", "300"]
    assert condition(token, "Ready")["message"] in wide_row


def test_kubectl_get_tally_lists_all_kinds_of_ours(admin: Api, namespace: str) -> None:
    issued(admin, a_pairing_token(namespace))

    listed = admin.kubectl("get", "tally", "-n", namespace, "-o", "name")
    kinds = admin.kubectl("api-resources", "--categories=tally", "--no-headers", "-o", "name")

    assert listed == "pairingtoken.tallystick.dev/site-a\n"
    assert set(kinds.split()) == {f"{kind.resource.plural}.tallystick.dev" for kind in KINDS}


def test_tokens_are_found_by_what_identifies_them(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace)
    token, secret = issued(admin, body)
    revoked(admin, a_pairing_token(namespace, "site-b", useCase="federated-repo"))
    token_id = token["status"]["tokenID"]

    def found(selector: str) -> list[str]:
        objects = json.loads(admin.kubectl("get", "ptok", "-n", namespace, "--field-selector", selector, "-o", "json"))
        return [item["metadata"]["name"] for item in objects["items"]]

    assert found(f"status.tokenID={token_id}") == ["site-a"]
    assert found("status.state=Revoked") == ["site-b"]
    assert found("spec.useCase=federated-repo") == ["site-b"]
    assert found("spec.purpose=Service") == ["site-a", "site-b"]
    by_label = admin.find_all("Secret", namespace, labelSelector=f"tallystick.dev/token-id={token_id}")
    assert [item["metadata"]["name"] for item in by_label] == [secret["metadata"]["name"]]
