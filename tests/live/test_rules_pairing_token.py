"""Every static rule of PairingToken on a real API server, by every way to write: what it refuses, with which text."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.api.meta import API_VERSION
from tallystick.install.installation import Installation
from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    by_id,
    every_creator,
    every_status_writer,
    every_writer,
)
from tests.harness.writers import STATUS_WRITERS, Writer

Json = dict[str, Any]

SERVICE = {"purpose": "Service", "useCase": "mission-control"}
DEVICES = {"purpose": "DeviceProject", "projectKey": "fleet01"}
URL = "https://trust.example.com"
REVOKED = {"state": "Revoked", "serial": 1, "revokedThrough": 1}
CLAIM = {
    "claimID": "c-1",
    "masterTokenID": "m-1",
    "kid": "k-1",
    "scope": ["mission-control:admin"],
    "time": "2030-01-01T12:00:00Z",
}
USED = {"state": "Used", "serial": 1, "claim": CLAIM}
FINAL = "a spent token never becomes active again"
SIGNED = "is part of the signed token; raise spec.serial in the same edit to issue a new one"


CREATE_REFUSED = [
    Refused("service without a use case", {}, {"purpose": "Service"}, "useCase is required when purpose is Service"),
    Refused(
        "project without a key",
        {},
        {"purpose": "DeviceProject"},
        "projectKey is required when purpose is DeviceProject",
    ),
    Refused("key of a service", {}, SERVICE | DEVICES | SERVICE, "projectKey applies only to purpose DeviceProject"),
    *(
        Refused(f"{field} of a project", {}, DEVICES | value, f"{field} applies only to purpose Service")
        for field, value in {
            "useCase": {"useCase": "mission-control"},
            "baseURL": {"baseURL": URL},
            "exchangeURL": {"exchangeURL": f"{URL}/x"},
            "pairingURL": {"pairingURL": URL},
            "peerURL": {"peerURL": URL},
            "serviceAccountName": {"serviceAccountName": "builder"},
            "masterToken.ttl": {"masterToken": {"ttl": "1h"}},
        }.items()
    ),
    *(
        Refused(f"exchange at {url}", {}, SERVICE | {"baseURL": URL, "exchangeURL": url}, "exchangeURL must be under")
        for url in (
            f"{URL}.evil.com/x",
            URL,
            "https://other.example.com/x",
            f"{URL}/../x",
            f"{URL}/a/..",
            f"{URL}/%2e%2E/x",
            f"{URL}/./x",
        )
    ),
    *(
        Refused(f"ttl {ttl}", {}, SERVICE | {"ttl": ttl}, "ttl must be between 10s and 24h for purpose Service")
        for ttl in ("9s", "0s", "24h1s", "1441m", "99999999999999h", "999999h9999999m")
    ),
    *(
        Refused(f"project ttl {ttl}", {}, DEVICES | {"ttl": ttl}, "ttl must be between 10s and 87600h")
        for ttl in ("9s", "87600h1s", "99999999999999h")
    ),
    *(
        Refused(
            f"master ttl {ttl}",
            {},
            SERVICE | {"masterToken": {"ttl": ttl}},
            "masterToken.ttl must be between 1m and 87600h",
        )
        for ttl in ("59s", "87600h1s", "99999999999999h")
    ),
]

# What the schema refuses has the server's words.
SCHEMA_REFUSED = [
    Refused(f"{field} {value!r}", {}, SERVICE | {field: value}, f"spec.{field}")
    for field, value in (
        ("purpose", "Robot"),
        ("useCase", "Mission"),
        ("useCase", ""),
        ("ttl", "5 minutes"),
        ("ttl", "1.5h"),
        ("ttl", "1d"),
        ("baseURL", "http://trust.example.com"),
        ("baseURL", "https://me@trust.example.com"),
        ("baseURL", "https://trust.example.com?x=1"),
        ("baseURL", "https://trüst.example.com"),
        ("baseURL", f"{URL}\n"),
        ("description", "red \x1b[31m alert"),
        ("description", "two\nlines"),
        ("description", "x" * 1025),
        ("secretName", "Not_A_Name"),
        ("serial", 0),
        ("serial", 1_000_000_001),
    )
]

CREATE_ALLOWED = [
    Allowed("the least of a service", {}, SERVICE),
    Allowed(
        "all of a service",
        {},
        SERVICE
        | {
            "baseURL": URL,
            "exchangeURL": f"{URL}/oauth2/token",
            "pairingURL": "https://mc.example.net:8443/v1/pairing",
            "peerURL": "https://[2001:db8::1]:8443",
            "ttl": "1h30m",
            "masterToken": {"ttl": "8760h", "deletionPolicy": "Retain"},
            "description": "Küche, 3. Stock 🏠",
            "secretName": "site.a",
            "serviceAccountName": "builder",
        },
    ),
    Allowed("the least of a project", {}, DEVICES),
    Allowed("a project that ends", {}, DEVICES | {"ttl": "87600h"}),
    Allowed("the shortest ttl", {}, SERVICE | {"ttl": "10s"}),
    Allowed("the longest ttl", {}, SERVICE | {"ttl": "24h"}),
    Allowed("an exchange without a base", {}, SERVICE | {"exchangeURL": f"{URL}/x"}),
    Allowed("a revoked one from Git", {}, SERVICE | {"revoked": True}),
    Allowed("a later serial from Git", {}, SERVICE | {"serial": 7}),
]

SIGNED_VALUES: list[tuple[str, Json, Json, Json]] = [
    ("useCase", SERVICE, {"useCase": "mission-control"}, {"useCase": "federated-repo"}),
    ("baseURL", SERVICE, {"baseURL": URL}, {"baseURL": f"{URL}/a"}),
    ("exchangeURL", SERVICE, {"exchangeURL": f"{URL}/a"}, {"exchangeURL": f"{URL}/b"}),
    ("pairingURL", SERVICE, {"pairingURL": f"{URL}/a"}, {"pairingURL": f"{URL}/b"}),
    ("peerURL", SERVICE, {"peerURL": f"{URL}/a"}, {"peerURL": f"{URL}/b"}),
    ("ttl", SERVICE, {"ttl": "5m"}, {"ttl": "6m"}),
    ("serviceAccountName", SERVICE, {"serviceAccountName": "a"}, {"serviceAccountName": "b"}),
    ("masterToken.ttl", SERVICE, {"masterToken": {"ttl": "1h"}}, {"masterToken": {"ttl": "2h"}}),
    ("projectKey", DEVICES, {"projectKey": "fleet01"}, {"projectKey": "fleet02"}),
]

EDIT_REFUSED = [
    Refused("purpose", SERVICE, DEVICES, "purpose is immutable"),
    Refused(
        "secretName changed", SERVICE | {"secretName": "a"}, SERVICE | {"secretName": "b"}, "secretName is immutable"
    ),
    Refused("secretName set", SERVICE, SERVICE | {"secretName": "b"}, "secretName is immutable"),
    Refused("secretName unset", SERVICE | {"secretName": "a"}, SERVICE, "secretName is immutable"),
    Refused(
        "deletionPolicy",
        SERVICE,
        SERVICE | {"masterToken": {"deletionPolicy": "Retain"}},
        "masterToken.deletionPolicy is immutable",
    ),
    Refused(
        "deletionPolicy with a new serial",
        SERVICE | {"masterToken": {"deletionPolicy": "Retain"}},
        SERVICE | {"serial": 2},
        "masterToken.deletionPolicy is immutable",
    ),
    *(Refused(f"{name} changed", base | old, base | new, f"{name} {SIGNED}") for name, base, old, new in SIGNED_VALUES),
    *(
        Refused(f"{name} set", base, base | new, f"{name} {SIGNED}")
        for name, base, _, new in SIGNED_VALUES
        if name not in base
    ),
    *(
        Refused(f"{name} unset", base | old, base, f"{name} {SIGNED}")
        for name, base, old, _ in SIGNED_VALUES
        if name not in base
    ),
    Refused("requestedBy", SERVICE, SERVICE | {"requestedBy": "mallory"}, f"requestedBy {SIGNED}"),
    Refused("serial lowered", SERVICE | {"serial": 3}, SERVICE | {"serial": 2}, "serial cannot be lowered"),
    Refused("serial removed", SERVICE | {"serial": 3}, SERVICE, "serial cannot be lowered"),
    Refused(
        "serial raised by 2",
        SERVICE,
        SERVICE | {"serial": 3},
        "serial may rise by 1 at a time: set it to the live object's spec.serial + 1",
    ),
    Refused(
        "revoked unset",
        SERVICE | {"revoked": True},
        SERVICE,
        "a revoked token cannot be reactivated; raise spec.serial to issue a new one",
    ),
    Refused(
        "revoked false",
        SERVICE | {"revoked": True},
        SERVICE | {"revoked": False},
        "a revoked token cannot be reactivated; raise spec.serial to issue a new one",
    ),
    Refused(
        "re-issued while the revocation is under way",
        SERVICE | {"revoked": True},
        SERVICE | {"serial": 2},
        "the revocation is still being carried out: wait until status.state is Revoked",
    ),
    Refused(
        "re-issued and still revoked",
        SERVICE | {"revoked": True},
        SERVICE | {"serial": 2, "revoked": True},
        "a revoked token is never issued: set spec.revoked to false in the edit that raises spec.serial",
    ),
    Refused(
        "re-issued and revoked at once",
        SERVICE,
        SERVICE | {"serial": 2, "revoked": True},
        "a revoked token is never issued",
    ),
]

EDIT_ALLOWED = [
    Allowed("nothing at all", SERVICE, SERVICE),
    Allowed("the description", SERVICE, SERVICE | {"description": "cameras"}),
    Allowed("revoke", SERVICE, SERVICE | {"revoked": True}),
    Allowed("re-issue", SERVICE, SERVICE | {"serial": 2}),
    *(
        Allowed(f"{name} with a new serial", base | old, base | new | {"serial": 2})
        for name, base, old, new in SIGNED_VALUES
    ),
    *(
        Allowed(f"{name} unset with a new serial", base | old, base | {"serial": 2})
        for name, base, old, _ in SIGNED_VALUES
        if name not in base
    ),
]

STATUS_REFUSED = [
    Refused("ahead of the spec", {}, {"serial": 2}, "status.serial cannot run ahead of spec.serial"),
    Refused("serial removed", {"serial": 1}, {"state": "Pending"}, "status.serial cannot be lowered"),
    Refused("revokedThrough ahead", {}, {"revokedThrough": 2}, "status.revokedThrough cannot run ahead of spec.serial"),
    Refused("revokedThrough removed", REVOKED, {"state": "Revoked", "serial": 1}, "revokedThrough cannot be lowered"),
    Refused(
        "revoked without revokedThrough",
        {"state": "Active", "serial": 1},
        {"state": "Revoked", "serial": 1},
        "state Revoked needs status.revokedThrough to be at least status.serial",
    ),
    Refused("used to active", USED, USED | {"state": "Active"}, FINAL),
    Refused("used to expired", USED, USED | {"state": "Expired"}, FINAL),
    Refused("used to nothing", USED, {"serial": 1, "claim": CLAIM}, FINAL),
    Refused("expired to active", {"state": "Expired", "serial": 1}, {"state": "Active", "serial": 1}, FINAL),
    Refused("expired to used", {"state": "Expired", "serial": 1}, {"state": "Used", "serial": 1}, FINAL),
    Refused("revoked to active", REVOKED, REVOKED | {"state": "Active"}, FINAL),
    Refused("revoked to used", REVOKED, REVOKED | {"state": "Used"}, FINAL),
    Refused("claim changed", USED, USED | {"claim": CLAIM | {"claimID": "c-2"}}, "a claim is final"),
    Refused("claim re-timed", USED, USED | {"claim": CLAIM | {"time": "2030-01-01T12:00:01Z"}}, "a claim is final"),
    Refused("claim removed", USED, {"state": "Used", "serial": 1}, "a claim is final"),
    Refused(
        "claim of an active token kept active",
        {"state": "Active", "serial": 1},
        USED | {"state": "Active"},
        "only an Active",
    ),
    Refused("claim of a pending token", {"state": "Pending"}, USED, "only an Active token can be claimed"),
    Refused("claim of a new token", {}, USED, "only an Active token can be claimed"),
    Refused(
        "claim of an expired token",
        {"state": "Expired", "serial": 1},
        REVOKED | {"claim": CLAIM},
        "only an Active token can be claimed",
    ),
    Refused("claim of a revoked token", REVOKED, REVOKED | {"claim": CLAIM}, "only an Active token can be claimed"),
    Refused("unknown state", {}, {"state": "Claimed"}, "status.state"),
]

STATUS_ALLOWED = [
    Allowed("pending to active", {"state": "Pending"}, {"state": "Active", "serial": 1}),
    Allowed("active to used, with its claim", {"state": "Active", "serial": 1}, USED),
    Allowed("active to expired", {"state": "Active", "serial": 1}, {"state": "Expired", "serial": 1}),
    Allowed("active to revoked", {"state": "Active", "serial": 1}, REVOKED),
    Allowed("revoked before it was issued", {}, {"state": "Revoked"}),
    Allowed("expired to revoked", {"state": "Expired", "serial": 1}, REVOKED),
    Allowed("used to revoked, with its claim", {**USED}, REVOKED | {"claim": CLAIM}),
    Allowed("used, with conditions", USED, USED | {"observedGeneration": 1, "usedTime": "2030-01-01T12:00:00Z"}),
]


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("pairing-rules")


@pytest.fixture(scope="module")
def token(namespace: str) -> Callable[[Json], Json]:
    """Build PairingTokens of names that nobody uses yet."""
    numbers = itertools.count(1)

    def build(spec: Json, **more: Any) -> Json:
        metadata = {"name": f"token-{next(numbers)}", "namespace": namespace}
        return {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": spec, **more}

    return build


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller's name, which the policies ask for, with every right: what refuses it is a rule."""
    return admin.as_user(installed.service_account("controller"), "system:masters")


@every_creator
@by_id(CREATE_REFUSED)
def test_a_create_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    body = token(case.after)

    answer = writer.create(admin, body)

    assert not answer.succeeded
    assert case.text in answer.message


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, token: Any, case: Refused) -> None:
    answer = admin.create(token(case.after))

    assert not answer.succeeded
    assert case.text in answer.message


@every_creator
@by_id(CREATE_ALLOWED)
def test_a_create_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, token(case.after))

    assert answer.succeeded, answer.message
    assert answer.body["status"] == {"observedGeneration": -1}


@every_writer
@by_id(EDIT_REFUSED)
def test_an_edit_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    before = token(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    assert not answer.succeeded
    assert case.text in answer.message
    assert admin.get(before)["metadata"]["generation"] == stored["metadata"]["generation"]


@every_writer
@by_id(EDIT_ALLOWED)
def test_an_edit_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    before = token(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    assert answer.succeeded, answer.message
    assert admin.get(before)["spec"] == defaulted(case.after, requested_by=stored["spec"]["requestedBy"])


@every_status_writer
@by_id(STATUS_REFUSED)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, token: Any, write_status: Any, case: Refused
) -> None:
    new = token(SERVICE)
    before, after = new | {"status": case.before}, new | {"status": case.after}
    admin.create(new).must_succeed()
    prepare(controller, new, case.before, write_status)

    answer = write_status(controller, before, after)

    assert not answer.succeeded
    assert case.text in answer.message


@every_status_writer
@by_id(STATUS_ALLOWED)
def test_a_status_is_allowed(admin: Api, controller: Api, token: Any, write_status: Any, case: Allowed) -> None:
    new = token(SERVICE)
    before, after = new | {"status": case.before}, new | {"status": case.after}
    admin.create(new).must_succeed()
    prepare(controller, new, case.before, write_status)

    answer = write_status(controller, before, after)

    assert answer.succeeded, answer.message
    assert answer.body["status"] == {"observedGeneration": -1} | case.after


def defaulted(spec: Json, *, requested_by: str) -> Json:
    """Give the spec as it is stored: with the schema's defaults and the stamp of admission."""
    master_token = {"deletionPolicy": "Revoke"} | spec.get("masterToken", {})
    return {"serial": 1, "revoked": False, "requestedBy": requested_by} | spec | {"masterToken": master_token}


def prepare(controller: Api, new: Json, status: Json, write_status: Any) -> None:
    """Bring a new token's status to where a case begins; a claim is reached through Active alone."""
    if "claim" in status:
        active = new | {"status": {"state": "Active", "serial": 1}}
        write_status(controller, new, active).must_succeed()
        write_status(controller, active, new | {"status": status}).must_succeed()
    elif status:
        write_status(controller, new, new | {"status": status}).must_succeed()


@every_writer
def test_a_revoked_token_is_issued_anew_once_its_revocation_is_carried_out(
    admin: Api, controller: Api, token: Any, writer: Writer
) -> None:
    before = token(SERVICE | {"revoked": True})
    writer.create(admin, before).must_succeed()
    controller.replace(before | {"status": REVOKED}, subresource="status").must_succeed()

    answer = writer.edit(admin, before, before | {"spec": SERVICE | {"serial": 2}})

    assert answer.succeeded, answer.message
    assert admin.get(before)["spec"]["revoked"] is False


@every_status_writer
@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"state": "Active", "serial": 2, "revokedThrough": 1}, ""),
        ({"state": "Active", "serial": 2}, "status.revokedThrough cannot be lowered"),
        (REVOKED | {"state": "Active"}, FINAL),
        ({"state": "Revoked", "serial": 2, "revokedThrough": 1}, "state Revoked needs status.revokedThrough"),
        ({"state": "Used", "serial": 2, "revokedThrough": 1, "claim": CLAIM}, "only an Active token can be claimed"),
    ],
    ids=["active", "revocation forgotten", "old serial", "half revoked", "claimed unissued"],
)
def test_a_new_serial_starts_afresh_and_forgets_no_revocation(
    admin: Api, controller: Api, token: Any, write_status: Any, status: Json, text: str
) -> None:
    body = token(SERVICE)
    admin.create(body | {"spec": SERVICE | {"revoked": True}}).must_succeed()
    write_status(controller, body, body | {"status": REVOKED}).must_succeed()
    reissued = body | {"spec": SERVICE | {"serial": 2}}
    admin.replace(reissued).must_succeed()

    answer = write_status(controller, reissued | {"status": REVOKED}, reissued | {"status": status})

    assert answer.succeeded == (text == "")
    assert text in answer.message


@every_status_writer
def test_a_new_serial_drops_the_claim_of_the_one_before(
    admin: Api, controller: Api, token: Any, write_status: Any
) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, write_status)
    admin.merge(body, {"spec": {"serial": 2}}).must_succeed()

    kept = write_status(controller, body | {"status": USED}, body | {"status": USED | {"state": "Active", "serial": 2}})
    dropped = write_status(controller, body | {"status": USED}, body | {"status": {"state": "Active", "serial": 2}})

    assert "only an Active token can be claimed" in kept.message
    assert dropped.succeeded, dropped.message


@every_status_writer
def test_a_serial_that_is_revoked_before_it_was_issued_may_keep_the_claim_of_the_one_before_but_no_other(
    admin: Api, controller: Api, token: Any, write_status: Any
) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, write_status)
    admin.merge(body, {"spec": {"serial": 2}}).must_succeed()
    admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
    revoked = {"state": "Revoked", "serial": 2, "revokedThrough": 2}
    before = body | {"status": USED}

    forged = write_status(controller, before, body | {"status": revoked | {"claim": CLAIM | {"claimID": "c-2"}}})
    kept = write_status(controller, before, body | {"status": revoked | {"claim": CLAIM}})

    assert "only an Active token can be claimed" in forged.message
    assert kept.succeeded, kept.message


def test_a_status_that_is_emptied_keeps_claim_and_state(admin: Api, controller: Api, token: Any) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, STATUS_WRITERS["status patch"])

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert "a claim is final" in emptied.message
    assert FINAL in emptied.message


@every_creator
@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(
    admin: Api, namespace: str, writer: Writer, length: int, allowed: bool
) -> None:
    name = writer.name.replace(" ", "-").ljust(length, "x")
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": SERVICE}

    answer = writer.create(admin, body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message
