"""Bad orders, word by word: class C7 of the catalogue of bad inputs (22 cases), as an editor sends them.

Of the 22 cases these wait for kinds that do not exist yet, and so cannot be sent:

- `secretRef` with a namespace, to a ServiceAccount's token, of a foreign type, without its key, empty, binary,
  of 1 MiB: JoinKey and MasterKey import Secrets (S20); a PairingToken refers to none.
- `batchSize` of 0, below 0, above the fleet: TokenRotation.
- a duplicate device id, no device, 10,000 devices: Device and TokenRotation.

A name of 253 characters is refused at 64 already (S23), and `..` is no name to the API server. No rule refuses an
annotation that looks like a token: nothing reads it, and nothing of ours repeats it.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.attackers import Cast, make_cast, said, world
from tests.harness.objects import SERVICE, secret_of, wait_for_state, wait_until_gone
from tests.harness.system import System

Json = dict[str, Any]

SERVICE_TTL = "spec: Invalid value: ttl must be between 10s and 24h for purpose Service"
PROJECT_TTL = "spec: Invalid value: ttl must be between 10s and 87600h for purpose DeviceProject"
MASTER_TTL = "spec.masterToken: Invalid value: masterToken.ttl must be between 1m and 87600h"
GO_DURATION = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NO_NOTE = (
    "spec.description: Invalid value: description must not contain control characters other than line breaks and tabs, "
    "private-use characters, or characters that change the direction of text"
)
UNCHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
KEEP = 'deletionPolicy: Unsupported value: "Keep": supported values: "Revoke", "Retain"'
ARABIC = "\u0665m"  # a five
PROJECT = {"purpose": "DeviceProject", "projectKey": "fleet01", "useCase": None}


def no_match(field: str, shown: str, pattern: str) -> str:
    return f"spec.{field}: Invalid value: \"{shown}\": spec.{field} in body should match '{pattern}'"


def no_string(field: str, found: str = "integer") -> str:
    return (
        f'[spec.{field}: Invalid value: "{found}": spec.{field} in body must be of type string: "{found}", {UNCHECKED}]'
    )


def too_long(field: str, most: int) -> str:
    return f"[spec.{field}: Too long: may not be more than {most} bytes, {UNCHECKED}]"


# What is asked for beside a good order, and the answer. None takes a field out.
BAD_SPECS: dict[str, tuple[Json, str]] = {
    "ttl as the number 0": ({"ttl": 0}, no_string("ttl")),
    "ttl below 0 as a number": ({"ttl": -1}, no_string("ttl")),
    "ttl as the number 1": ({"ttl": 1}, no_string("ttl")),
    "ttl as a float": ({"ttl": 1.5}, no_string("ttl", "number")),
    "ttl as 2^31": ({"ttl": 2**31}, no_string("ttl")),
    "ttl as a truth": ({"ttl": True}, no_string("ttl", "boolean")),
    "ttl of 0 s": ({"ttl": "0s"}, SERVICE_TTL),
    "ttl of 1 s": ({"ttl": "1s"}, SERVICE_TTL),
    "ttl of 2^31 s": ({"ttl": "2147483648s"}, SERVICE_TTL),
    "ttl above a day": ({"ttl": "24h1s"}, SERVICE_TTL),
    "ttl of a project above ten years": (PROJECT | {"ttl": "87600h1s"}, PROJECT_TTL),
    "ttl below 0": ({"ttl": "-5m"}, f"[{no_match('ttl', '-5m', GO_DURATION)}, {SERVICE_TTL}]"),
    "ttl with a fraction": ({"ttl": "1.5h"}, f"[{no_match('ttl', '1.5h', GO_DURATION)}, {SERVICE_TTL}]"),
    "ttl with an exponent": ({"ttl": "1e3s"}, f"[{no_match('ttl', '1e3s', GO_DURATION)}, {SERVICE_TTL}]"),
    "ttl without a unit": ({"ttl": "300"}, f"[{no_match('ttl', '300', GO_DURATION)}, {SERVICE_TTL}]"),
    "ttl in other digits": ({"ttl": ARABIC}, f"[{no_match('ttl', ARABIC, GO_DURATION)}, {SERVICE_TTL}]"),
    "ttl that overflows": ({"ttl": "9" * 15 + "h"}, SERVICE_TTL),
    "ttl of 17 bytes": ({"ttl": "9" * 16 + "h"}, too_long("ttl", 16)),
    "master's ttl of 0 s": ({"masterToken": {"ttl": "0s"}}, MASTER_TTL),
    "master's ttl above ten years": ({"masterToken": {"ttl": "87600h1s"}}, MASTER_TTL),
    "Secret named ..": ({"secretName": ".."}, no_match("secretName", "..", DNS_NAME)),
    "Secret in another folder": ({"secretName": "../precious"}, no_match("secretName", "../precious", DNS_NAME)),
    "Secret in another namespace": ({"secretName": "other/x"}, no_match("secretName", "other/x", DNS_NAME)),
    "Secret without a name": ({"secretName": ""}, no_match("secretName", "", DNS_NAME)),
    "Secret in capitals": ({"secretName": "Precious"}, no_match("secretName", "Precious", DNS_NAME)),
    "Secret named in Unicode": ({"secretName": "naïve"}, no_match("secretName", "naïve", DNS_NAME)),
    "Secret with a hidden character": ({"secretName": "a\u200bb"}, no_match("secretName", r"a\u200bb", DNS_NAME)),
    "Secret named too long": ({"secretName": "a" * 254}, too_long("secretName", 253)),
    "account named ..": ({"serviceAccountName": ".."}, no_match("serviceAccountName", "..", DNS_NAME)),
    "note with an escape": ({"description": "\x1b[2J"}, NO_NOTE),
    "note with a NUL": ({"description": "a\x00b"}, NO_NOTE),
    "note that runs backwards": ({"description": "a\u202eb"}, NO_NOTE),
    "note too long": ({"description": "x" * 1025}, too_long("description", 1024)),
    "serial 0": (
        {"serial": 0},
        "spec.serial: Invalid value: 0: spec.serial in body should be greater than or equal to 1",
    ),
    "serial above its end": (
        {"serial": 1_000_000_001},
        "spec.serial: Invalid value: 1000000001: spec.serial in body should be less than or equal to 1000000000",
    ),
    "no use case": ({"useCase": None}, "spec: Required value: useCase is required when purpose is Service"),
    "unknown purpose": (
        {"purpose": "Robot"},
        f'[spec.purpose: Unsupported value: "Robot": supported values: "Service", "DeviceProject", {UNCHECKED}]',
    ),
    "unknown policy": (
        {"masterToken": {"deletionPolicy": "Keep"}},
        f"[spec.masterToken.{KEEP}, {UNCHECKED}]",
    ),
}
RFC_1123 = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
FITS = "metadata.name must have at most 63 characters"
BAD_NAMES = {
    "a" * 64: FITS,
    "a" * 253: FITS,
    "..": f'metadata.name: Invalid value: "..": {RFC_1123}',
    "naïve": f'metadata.name: Invalid value: "naïve": {RFC_1123}',
    "a\u202eb": f'metadata.name: Invalid value: "a\\u202eb": {RFC_1123}',
    "a/b": f'metadata.name: Invalid value: "a/b": {RFC_1123}',
}


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


def test_a_bad_order_is_refused_in_these_words_and_nothing_comes_of_it(cast: Cast) -> None:
    before, site = world(cast.site), cast.site

    heard = {case: said(cast.ann.create(ordered(cast, spec))) for case, (spec, _) in BAD_SPECS.items()}

    assert heard == {case: text for case, (_, text) in BAD_SPECS.items()}
    assert world(site) == before


def ordered(cast: Cast, spec: Json) -> Json:
    wanted = {key: value for key, value in (SERVICE | spec).items() if value is not None}
    return cast.site.pairing_token("bad") | {"spec": wanted}


def test_a_bad_name_is_refused_in_these_words_and_nothing_comes_of_it(cast: Cast) -> None:
    before = world(cast.site)

    heard = {name: said(cast.ann.create(cast.site.pairing_token(name))) for name in BAD_NAMES}

    assert heard == BAD_NAMES
    assert world(cast.site) == before


def test_the_longest_names_are_served(cast: Cast) -> None:
    site = cast.site
    named, kept = site.pairing_token("a" * 63), site.pairing_token("long-secret", secretName="a" * 253)

    for body in (named, kept):
        cast.ann.create(body).must_succeed()

    for body in (named, kept):
        wait_for_state(site.api, body, "Active")
        assert site.api.find(secret_of(body)) is not None


# What is no field.

UNKNOWN = {"audience": ["all"], "scope": ["all"], "token": "mine", "tokenID": "mine"}


def test_an_unknown_field_is_not_stored(cast: Cast) -> None:
    site, body = cast.site, cast.site.pairing_token("pruned", **UNKNOWN)

    stored = cast.ann.create(body).must_succeed()

    status = wait_for_state(site.api, body, "Active")["status"]
    assert not UNKNOWN.keys() & stored["spec"].keys()
    assert status["tokenID"] != "mine"


def test_an_unknown_field_is_refused_to_kubectl_and_to_server_side_apply(cast: Cast) -> None:
    before, body = world(cast.site), cast.site.pairing_token("unknown", audience=["all"])

    by_kubectl, by_apply = said(cast.ann.kubectl_apply(body)), said(cast.ann.apply(body))

    assert by_kubectl == (
        'PairingToken in version "v1alpha1" cannot be handled as a PairingToken: strict decoding error: '
        'unknown field "spec.audience"'
    )
    assert by_apply == (
        f"failed to create typed patch object ({cast.site.namespace}/unknown; tallystick.dev/v1alpha1, "
        "Kind=PairingToken): .spec.audience: field not declared in schema"
    )
    assert world(cast.site) == before


# What is sent along.


def test_an_annotation_that_looks_like_a_token_is_stored_and_repeated_nowhere(cast: Cast) -> None:
    site = cast.site
    parts = ({"alg": "none"}, {"sub": "canary", "jti": "canary"}, "canary")
    canary = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    body = site.pairing_token("annotated")
    body["metadata"]["annotations"] = {"example.com/token": canary, "tallystick.dev/token": canary}

    cast.ann.create(body).must_succeed()

    stored = wait_for_state(site.api, body, "Active")
    cast.ann.merge(body, {"spec": {"revoked": True}}).must_succeed()
    revoked = wait_for_state(site.api, body, "Revoked")
    said_of_it = [stored["status"], revoked["status"], *site.events("Revoked")]
    assert stored["metadata"]["annotations"] == body["metadata"]["annotations"]
    assert canary not in json.dumps(said_of_it)


def test_a_finalizer_that_its_user_takes_away_frees_the_object(cast: Cast) -> None:
    site, body = cast.site, cast.site.pairing_token("finalized")
    body["metadata"]["finalizers"] = ["example.com/mine"]
    cast.ann.create(body).must_succeed()
    stored = wait_for_state(site.api, body, "Active")
    cast.ann.delete(body).must_succeed()

    cast.ann.merge(body, {"metadata": {"finalizers": None}}).must_succeed()

    # None of ours was there beside it: validity is existence, and needs none (S8).
    assert stored["metadata"]["finalizers"] == ["example.com/mine"]
    wait_until_gone(site.api, body)


def test_an_owner_that_its_user_forges_owns_no_token_and_gives_none(cast: Cast) -> None:
    site = cast.site
    owner = cast.ann.create(site.pairing_token("owner")).must_succeed()
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")} | {"controller": True}
    body = site.pairing_token("owned")
    body["metadata"]["ownerReferences"] = [reference]

    cast.bob.create(body).must_succeed()
    cast.ann.merge(site.pairing_token("owner"), {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(site.api, owner, "Revoked")

    # Its own uid and its own order count; whose child it says it is does not.
    owned = wait_for_state(site.api, body, "Active")
    token = site.issued("owned")
    assert owned["status"]["subject"] == "bob"
    assert site.is_active(token)


def test_a_spec_that_changes_after_it_was_issued_changes_no_token(cast: Cast) -> None:
    site, body = cast.site, cast.site.pairing_token("changed", ttl="10m")
    cast.ann.create(body).must_succeed()
    token = site.issued("changed")

    refused = said(cast.ann.merge(body, {"spec": {"ttl": "20m"}}))
    cast.ann.merge(body, {"spec": {"description": "only a note"}}).must_succeed()

    after = wait_for_state(site.api, body, "Active")
    assert refused == (
        "spec: Forbidden: ttl is part of the signed token; raise spec.serial in the same edit to issue a new one"
    )
    assert (after["status"]["expiresIn"], site.issued("changed") == token) == (600, True)


def test_a_record_that_its_user_writes_is_refused(cast: Cast) -> None:
    site, body = cast.site, cast.site.pairing_token("recorded")
    cast.ann.create(body).must_succeed()
    before = wait_for_state(site.api, body, "Active")

    refused = said(cast.star.merge(body, {"status": {"tokenID": "mine"}}, subresource="status"))

    assert refused == (
        "only system:serviceaccount:tallystick-system:tallystick-controller and "
        "system:serviceaccount:tallystick-system:tallystick-exchange may write the status"
    )
    assert site.api.get(body) == before
