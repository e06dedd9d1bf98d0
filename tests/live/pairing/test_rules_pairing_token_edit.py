"""Every rule for an edit of a PairingToken on a real API server, with its text."""

from typing import Any

from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    by_writer,
    controller,
    every_writer,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import Writer
from tests.live.pairing.rules_pairing_token import DEVICES, REVOKED, SERVICE, SPEC_SCHEMA, URL, token

__all__ = ["controller", "token"]

Json = dict[str, Any]

SIGNED = "is part of the signed token; raise spec.serial in the same edit to issue a new one"

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
    Refused(
        "masterToken.ttl unset beside deletionPolicy",
        SERVICE | {"masterToken": {"ttl": "1h", "deletionPolicy": "Retain"}},
        SERVICE | {"masterToken": {"deletionPolicy": "Retain"}},
        f"masterToken.ttl {SIGNED}",
    ),
    Refused(
        "deletionPolicy unset beside masterToken.ttl",
        SERVICE | {"masterToken": {"ttl": "1h", "deletionPolicy": "Retain"}},
        SERVICE | {"masterToken": {"ttl": "1h"}},
        "masterToken.deletionPolicy is immutable",
    ),
    Refused("serial lowered", SERVICE | {"serial": 3}, SERVICE | {"serial": 2}, "serial cannot be lowered"),
    Refused("serial removed", SERVICE | {"serial": 3}, SERVICE, "serial cannot be lowered"),
    Refused(
        "serial raised by 2",
        SERVICE,
        SERVICE | {"serial": 3},
        "serial can rise only by 1; set it to the current spec.serial + 1",
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
        "the controller has not recorded the revocation yet; wait until status.state is Revoked",
    ),
    Refused(
        "re-issued and still revoked",
        SERVICE | {"revoked": True},
        SERVICE | {"serial": 2, "revoked": True},
        "no token is issued while spec.revoked is true; set it to false in the edit that raises spec.serial",
    ),
    Refused(
        "re-issued and revoked at once",
        SERVICE,
        SERVICE | {"serial": 2, "revoked": True},
        "no token is issued while spec.revoked is true",
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
    Allowed(
        "masterToken.ttl set beside deletionPolicy, with a new serial",
        SERVICE | {"masterToken": {"deletionPolicy": "Retain"}},
        SERVICE | {"masterToken": {"ttl": "1h", "deletionPolicy": "Retain"}, "serial": 2},
    ),
    Allowed(
        "masterToken.ttl unset beside deletionPolicy, with a new serial",
        SERVICE | {"masterToken": {"ttl": "1h", "deletionPolicy": "Retain"}},
        SERVICE | {"masterToken": {"deletionPolicy": "Retain"}, "serial": 2},
    ),
]


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    before = token(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert admin.get(before)["metadata"]["generation"] == stored["metadata"]["generation"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    before = token(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    expected = defaulted(case.after, requested_by=stored["spec"]["requestedBy"])
    must_be_stored(case, writer, answer, admin.get(before)["spec"], expected)


@every_writer
def test_a_revoked_token_is_issued_again_once_its_revocation_is_carried_out(
    admin: Api, controller: Api, token: Any, writer: Writer
) -> None:
    before = token(SERVICE | {"revoked": True})
    writer.create(admin, before).must_succeed()
    controller.replace(before | {"status": REVOKED}, subresource="status").must_succeed()

    answer = writer.edit(admin, before, before | {"spec": SERVICE | {"serial": 2}})

    assert answer.succeeded, answer.message
    assert admin.get(before)["spec"]["revoked"] is False


def defaulted(spec: Json, *, requested_by: str) -> Json:
    """Give the spec as it is stored: with the schema's defaults and the stamp of admission."""
    master_token = {"deletionPolicy": "Revoke"} | spec.get("masterToken", {})
    return {"serial": 1, "revoked": False, "requestedBy": requested_by} | spec | {"masterToken": master_token}
