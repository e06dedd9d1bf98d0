"""From `kubectl apply` of a PairingToken to its Secret, and what that costs (R6, R7, R78-R90)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.grants import grant
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    read_token,
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
    with_spec,
)
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]


@pytest.fixture
def namespace(make_namespace: Callable[[str], str], system: System) -> str:
    return make_namespace("issue")


@pytest.fixture(scope="module")
def trail(system: System) -> Trail:
    return Trail(system.plane.audit_log)


# What is issued.


def test_an_applied_token_gets_active_and_its_secret_holds_all_that_a_client_needs(
    admin: Api, system: System, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    admin.kubectl_apply(body).must_succeed()

    token = wait_for_state(admin, body, "Active")
    secret = admin.get(secret_of(body))

    status = token["status"]
    assert condition(token, "Ready")["status"] == "True"
    assert condition(token, "Stalled") == condition(token, "Reconciling") == {}
    assert (status["serial"], status["expiresIn"]) == (1, 300)
    assert secret["type"] == "tallystick.dev/pairing-token"
    assert set(secret["data"]) == {"token", "token-id", "expires-in", "expires-at", "ca.crt"}
    assert value_of(secret, "token-id") == status["tokenID"]
    assert value_of(secret, "expires-in") == "300"
    assert value_of(secret, "expires-at") == status["expirationTime"]
    assert value_of(secret, "ca.crt") == system.up.ca_file.read_text()
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "PairingToken",
        "tallystick.dev/name": "site-a",
        "tallystick.dev/token-id": status["tokenID"],
    }
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("PairingToken", "site-a", token["metadata"]["uid"])


def test_the_token_says_what_was_asked_for_and_nothing_else(admin: Api, system: System, namespace: str) -> None:
    pairing_url = "https://peer.example/pair"

    token, secret = issued(admin, a_pairing_token(namespace, ttl="10m", pairingURL=pairing_url))

    status, read = token["status"], read_token(value_of(secret, "token"))
    issued_at = int(datetime.fromisoformat(status["issuedTime"]).timestamp())
    assert read.header == {"alg": "ES256", "kid": status["kid"], "typ": "pairing+jwt"}
    assert read.claims == {
        "iss": system.up.url,
        "sub": token["spec"]["requestedBy"],
        "aud": system.up.url,
        "scope": "service-trust/pairing/mission-control",
        "iat": issued_at,
        "exp": issued_at + 600,
        "jti": status["tokenID"],
        "ext": {
            "base_url": system.up.url,
            "exchange_url": f"{system.up.url}/oauth2/token",
            "pairing_url": pairing_url,
            "revocable": True,
        },
        "tallystick": {
            "kind": "PairingToken",
            "ns": namespace,
            "name": "site-a",
            "uid": token["metadata"]["uid"],
            "serial": 1,
        },
    }


def test_a_token_speaks_for_the_user_who_applied_it(admin: Api, namespace: str) -> None:
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(admin, namespace, "ann", role)
    body = a_pairing_token(namespace)

    admin.as_user("ann").kubectl_apply(body).must_succeed()
    token = wait_for_state(admin, body, "Active")

    assert token["status"]["subject"] == "ann"
    assert read_token(value_of(admin.get(secret_of(body)), "token")).claims["sub"] == "ann"


def test_the_secret_has_the_name_that_the_spec_gives(admin: Api, namespace: str) -> None:
    _, secret = issued(admin, a_pairing_token(namespace, secretName="trust.of-site-a"))

    assert secret["metadata"]["name"] == "trust.of-site-a"


# What it costs (decisions.md, "What a thing costs").


def test_an_issue_costs_a_secret_and_a_status_and_no_event(admin: Api, trail: Trail, namespace: str) -> None:
    issued(admin, a_pairing_token(namespace))

    written = trail.settled(admin, namespace)

    assert written == ["create secrets site-a-pairing-token", "update pairingtokens/status site-a"]
    assert admin.find_all("Event", namespace) == []


def _applied_again(admin: Api, body: Json) -> None:
    admin.kubectl_apply(body).must_succeed()


def _applied_by_another_manager(admin: Api, body: Json) -> None:
    admin.apply(body).must_succeed()


def _replaced_by_the_git_version(admin: Api, body: Json) -> None:
    admin.replace(body).must_succeed()


def _labelled(admin: Api, body: Json) -> None:
    admin.merge(body, {"metadata": {"labels": {"team": "blue"}, "annotations": {"note": "hello"}}}).must_succeed()


@pytest.mark.parametrize("edit", [_applied_again, _applied_by_another_manager, _replaced_by_the_git_version, _labelled])
def test_nothing_is_written_when_an_edit_asks_for_nothing_new(
    admin: Api, trail: Trail, namespace: str, edit: Callable[[Api, Json], None]
) -> None:
    body = a_pairing_token(namespace)
    admin.kubectl_apply(body).must_succeed()
    before = wait_for_state(admin, body, "Active")
    mark = trail.mark()

    edit(admin, body)

    assert trail.settled(admin, namespace, since=mark) == []
    assert admin.get(body)["status"] == before["status"]


def test_an_edit_of_the_description_costs_one_status_and_keeps_the_token(
    admin: Api, trail: Trail, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    before, secret = issued(admin, body)
    mark = trail.mark()

    admin.merge(body, {"spec": {"description": "the first site"}}).must_succeed()
    after = wait_for_state(admin, body, "Active")

    assert trail.settled(admin, namespace, since=mark) == ["update pairingtokens/status site-a"]
    assert after["status"]["tokenID"] == before["status"]["tokenID"]
    assert admin.get(secret_of(body)) == secret


# What is not issued.


def test_a_url_of_another_user_stalls_the_token_with_what_to_do(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace, baseURL="https://elsewhere.example")
    admin.create(body).must_succeed()

    token = wait_for_reason(admin, body, "ForeignURL")

    assert token["status"]["state"] == "Pending"
    assert condition(token, "Ready")["status"] == "False"
    assert condition(token, "Stalled")["status"] == "True"
    assert "baseURL https://elsewhere.example is not a URL of this service" in condition(token, "Stalled")["message"]
    assert admin.find(secret_of(body)) is None
    (event,) = poll(lambda: admin.find_all("Event", namespace))
    assert (event["type"], event["reason"]) == ("Warning", "ForeignURL")


def test_a_stalled_token_is_issued_once_its_url_is_corrected_with_a_new_serial(
    admin: Api, system: System, namespace: str
) -> None:
    body = a_pairing_token(namespace, baseURL="https://elsewhere.example")
    admin.create(body).must_succeed()
    wait_for_reason(admin, body, "ForeignURL")

    admin.replace(with_spec(body, baseURL=system.up.url, serial=2)).must_succeed()
    token = wait_for_state(admin, body, "Active")

    assert token["status"]["serial"] == 2
    assert condition(token, "Stalled") == {}


@pytest.mark.parametrize("url", ["http://plain.example", "https://user@host.example", "https://host.example/?q"])
def test_a_url_of_a_bad_form_is_refused_at_admission(admin: Api, namespace: str, url: str) -> None:
    answer = admin.kubectl_apply(a_pairing_token(namespace, baseURL=url))

    assert "spec.baseURL" in answer.message


def test_an_unknown_use_case_stalls_the_token_and_names_the_known_ones(admin: Api, namespace: str) -> None:
    body = a_pairing_token(namespace, useCase="time-travel")
    admin.create(body).must_succeed()

    token = wait_for_reason(admin, body, "UnknownUseCase")

    assert condition(token, "Stalled")["message"] == (
        'use case "time-travel" is unknown to this service; known: artifactory-cold, federated-repo, mission-control; '
        "set one of them in the edit that raises spec.serial to 2"
    )
    assert admin.find(secret_of(body)) is None


def test_a_use_case_is_refused_until_the_user_may_use_it(admin: Api, namespace: str) -> None:
    grant(admin, namespace, "bob", "tallystick-edit")
    body, bob = a_pairing_token(namespace), admin.as_user("bob")
    refused = bob.kubectl_apply(body)

    grant(admin, namespace, "bob", "tallystick-usecase-mission-control")
    bob.kubectl_apply(body).must_succeed()

    assert "you cannot request use case mission-control" in refused.message
    assert wait_for_state(admin, body, "Active")["status"]["subject"] == "bob"
