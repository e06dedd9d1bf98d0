"""Every static rule of MasterToken on a real API server: what it refuses, with which text."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tallystick.pairing.api.master_token import MasterToken
from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_creator,
    by_status_writer,
    by_writer,
    must_be_refused,
    must_be_stored,
    objects_of,
    with_every_right,
)
from tests.harness.rule_shapes import schema_of
from tests.harness.writers import StatusWriter, Writer

Json = dict[str, Any]

SPEC_SCHEMA, STATUS_SCHEMA = schema_of(MasterToken, "spec"), schema_of(MasterToken, "status")

SPEC: Json = {
    "pairingTokenRef": {"name": "site-a", "uid": "7a5c"},
    "serial": 1,
    "redemptionID": "c-1",
    "tokenID": "m-1",
    "kid": "k-1",
    "useCase": "mission-control",
    "scope": ["mission-control:admin"],
    "audience": ["https://trust.example.com"],
    "subject": "system:serviceaccount:edge:builder",
    "clientID": "site-a",
    "keyThumbprint": "t-1",
    "issuedTime": "2030-01-01T12:00:00Z",
    "expirationTime": "2031-01-01T12:00:00Z",
    "deletionPolicy": "Revoke",
}
OPTIONAL = ("clientID", "keyThumbprint")
CHANGED: Json = {
    "pairingTokenRef": {"name": "site-a", "uid": "0000"},
    "serial": 2,
    "redemptionID": "c-2",
    "tokenID": "m-2",
    "kid": "k-2",
    "useCase": "federated-repo",
    "scope": ["mission-control:admin", "federated-repo:sync"],
    "audience": [],
    "subject": "admin",
    "clientID": "site-b",
    "keyThumbprint": "t-2",
    "issuedTime": "2030-01-01T12:00:01Z",
    "expirationTime": "2040-01-01T12:00:00Z",
    "deletionPolicy": "Retain",
}
ONLY_REVOKED = "a master token is made by the exchange and cannot be edited; only spec.revoked may be set"
ENDED = "a master token that ended never becomes active again: Expired may only become Revoked"


def without(name: str) -> Json:
    return {field: value for field, value in SPEC.items() if field != name}


CREATE_REFUSED = [
    *(
        Refused(f"no {name}", {}, without(name), "pairingTokenRef, serial and redemptionID must be given together")
        for name in ("pairingTokenRef", "serial", "redemptionID")
    ),
    *(Refused(f"no {name}", {}, without(name), f"spec.{name}") for name in ("tokenID", "kid", "subject", "scope")),
    Refused(
        "expired before it was issued",
        {},
        SPEC | {"expirationTime": SPEC["issuedTime"]},
        "expirationTime must be after issuedTime",
    ),
    Refused("a scope with a space", {}, SPEC | {"scope": ["all things"]}, "spec.scope[0]"),
    Refused("a subject with a newline", {}, SPEC | {"subject": "a\nb"}, "spec.subject"),
]
EDIT_REFUSED = [
    *(Refused(f"{name} changed", SPEC, SPEC | {name: value}, ONLY_REVOKED) for name, value in CHANGED.items()),
    *(Refused(f"{name} unset", SPEC, without(name), ONLY_REVOKED) for name in OPTIONAL),
    *(Refused(f"{name} set", without(name), SPEC, ONLY_REVOKED) for name in OPTIONAL),
    Refused("pairingTokenRef unset", SPEC, without("pairingTokenRef"), ONLY_REVOKED),
    Refused("audience of one less", SPEC | {"audience": ["a", "b"]}, SPEC | {"audience": ["a"]}, ONLY_REVOKED),
    Refused("audience of one other", SPEC | {"audience": ["a", "b"]}, SPEC | {"audience": ["a", "c"]}, ONLY_REVOKED),
    Refused(
        "audience in another order", SPEC | {"audience": ["a", "b"]}, SPEC | {"audience": ["b", "a"]}, ONLY_REVOKED
    ),
    Refused("edited while it is revoked", SPEC, SPEC | {"revoked": True, "subject": "admin"}, ONLY_REVOKED),
    Refused("revoked unset", SPEC | {"revoked": True}, SPEC, "a revoked master token cannot be reactivated"),
    Refused(
        "revoked false",
        SPEC | {"revoked": True},
        SPEC | {"revoked": False},
        "a revoked master token cannot be reactivated",
    ),
]
EDIT_ALLOWED = [Allowed("revoke", SPEC, SPEC | {"revoked": True}), Allowed("nothing", SPEC, SPEC)]
STATUS_REFUSED = [
    Refused("revoked to active", {"state": "Revoked"}, {"state": "Active"}, ENDED),
    Refused("revoked to expired", {"state": "Revoked"}, {"state": "Expired"}, ENDED),
    Refused("revoked to nothing", {"state": "Revoked"}, {"observedGeneration": 1}, ENDED),
    Refused("expired to active", {"state": "Expired"}, {"state": "Active"}, ENDED),
    Refused("unknown state", {}, {"state": "Used"}, "status.state"),
]
STATUS_ALLOWED = [
    Allowed("active", {}, {"state": "Active"}),
    Allowed("active to revoked", {"state": "Active"}, {"state": "Revoked", "revokedTime": "2030-01-01T12:00:00Z"}),
    Allowed("tombstone on a fresh one", {}, {"state": "Revoked"}),
    Allowed("active to expired", {"state": "Active"}, {"state": "Expired"}),
    Allowed("expired to revoked", {"state": "Expired"}, {"state": "Revoked"}),
]


@pytest.fixture(scope="module")
def exchange(admin: Api, installed: Installation) -> Api:
    return with_every_right(admin, installed, "exchange")


@pytest.fixture(scope="module")
def token(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    return objects_of("MasterToken", make_namespace("master-rules"))


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(exchange: Api, token: Any, writer: Writer, case: Refused) -> None:
    answer = writer.create(exchange, token(case.after))

    must_be_refused(case, writer, answer)


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(exchange: Api, token: Any, writer: Writer, case: Refused) -> None:
    before = token(case.before)
    stored = writer.create(exchange, before).must_succeed()

    answer = writer.edit(exchange, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert exchange.get(before)["spec"] == stored["spec"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(exchange: Api, token: Any, writer: Writer, case: Allowed) -> None:
    before = token(case.before)
    writer.create(exchange, before).must_succeed()

    answer = writer.edit(exchange, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, exchange.get(before)["spec"], {"revoked": False} | case.after)


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    exchange: Api, token: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status(exchange, exchange, token(SPEC), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(exchange: Api, token: Any, write_status: StatusWriter, case: Allowed) -> None:
    answer = ask_for_status(exchange, exchange, token(SPEC), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


def test_a_status_in_a_create_is_dropped_so_a_fresh_token_has_none(exchange: Api, token: Any) -> None:
    stored = exchange.create(token(SPEC) | {"status": {"state": "Revoked"}}).must_succeed()

    assert stored["status"] == {"observedGeneration": -1}


def test_a_name_has_at_most_63_characters(exchange: Api, token: Any) -> None:
    body = token(SPEC)
    body["metadata"]["name"] = "m" * 64

    answer = exchange.create(body)

    assert "metadata.name must have at most 63 characters" in answer.message
