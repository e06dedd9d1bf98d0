"""Every rule for a create of a PairingToken on a real API server, with its text."""

from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    by_creator,
    by_id,
    every_creator,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import CREATE, Writer
from tests.live.pairing.rules_pairing_token import DEVICES, SERVICE, SPEC_SCHEMA, URL, token
from tests.live.texts import NOTES

__all__ = ["token"]

Json = dict[str, Any]

NO_NOTE = (
    "must not contain control characters other than line breaks and tabs, private-use characters, or characters that "
    "change the direction of text"
)
NO_NAME = "must not contain control characters, invisible or private-use characters"

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
        Refused(
            f"exchange at {url}",
            {},
            SERVICE | {"baseURL": URL, "exchangeURL": url},
            "exchangeURL must start with baseURL",
        )
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
    *(
        Refused(f"note {note!r}", {}, SERVICE | {"description": note}, f"description {NO_NOTE}")
        for note in ("red \x1b[31m alert", "over\rwritten", "\u202edesrever", "\ue000")
    ),
    *(
        Refused(f"requester {name!r}", {}, SERVICE | {"requestedBy": name}, f"requestedBy {NO_NAME}")
        for name in ("mal\u202elory", "two\nlines", "zero\u200bwidth", "\ue000")
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
        ("description", "\x7f"),
        ("description", "a\u0085line"),
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
    *(Allowed(f"note {note!r}", {}, SERVICE | {"description": note}) for note in NOTES),
    Allowed("the least of a project", {}, DEVICES),
    Allowed("a project that ends", {}, DEVICES | {"ttl": "87600h"}),
    Allowed("the shortest ttl", {}, SERVICE | {"ttl": "10s"}),
    Allowed("the longest ttl", {}, SERVICE | {"ttl": "24h"}),
    Allowed("an exchange without a base", {}, SERVICE | {"exchangeURL": f"{URL}/x"}),
    Allowed("a revoked one from Git", {}, SERVICE | {"revoked": True}),
    Allowed("a later serial from Git", {}, SERVICE | {"serial": 7}),
]


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    body = token(case.after)

    answer = writer.create(admin, body)

    must_be_refused(case, writer, answer)


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, token: Any, case: Refused) -> None:
    answer = admin.create(token(case.after))

    must_be_refused(case, CREATE, answer)


@by_creator(CREATE_ALLOWED, SPEC_SCHEMA)
def test_a_create_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, token(case.after))

    must_be_stored(case, writer, answer, answer.body.get("status"), {"observedGeneration": -1})


@every_creator
@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(admin: Api, token: Any, writer: Writer, length: int, allowed: bool) -> None:
    body = token(SERVICE)
    body["metadata"]["name"] = writer.name.replace(" ", "-").ljust(length, "x")

    answer = writer.create(admin, body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message
