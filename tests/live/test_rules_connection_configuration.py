"""Every static rule of ConnectionConfiguration on a real API server, by every way to write: refused, with which text.

No controller runs here: statuses are written by hand, as a faulty or a hostile writer would.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from tallystick.api.meta import API_VERSION
from tallystick.install.installation import Installation
from tests.harness.api import Api
from tests.harness.connections import a_connection, slots
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    by_id,
    every_creator,
    every_status_writer,
    every_writer,
)
from tests.harness.writers import Writer

Json = dict[str, Any]

KUBERNETES: Json = {"deploymentType": "Kubernetes"}
PROXY: Json = {"deploymentType": "ReverseProxy", "reverseProxy": {"targetHost": "registry.example.com"}}
SLOT_A = KUBERNETES | {"tokens": slots("a")}
SLOTS_AB = KUBERNETES | {"tokens": slots("a", "b")}

EARLIER, END, LATER = "2030-01-01T12:00:00Z", "2031-01-01T12:00:00Z", "2032-01-01T12:00:00Z"
LICENSED = KUBERNETES | {"licenseExpiresAt": END}

ONLY_ACTIVE = (
    "cannot revoke the only active token; generate a new token first (add a slot), register it on all instances, "
    "then revoke this one"
)
TWO_AT_MOST = "cannot generate a new token: 2 of 2 tokens are active; revoke one first"
UNIQUE = "slot names must be unique"
STILL_REVOKED = "a slot of this name is still being revoked: wait until it has left status.tokens, or use another name"
STILL_REMOVED = (
    "a slot of this name is still being removed: wait until it has left status.vacantSlots, or use another name"
)
TYPE_STAYS = "deploymentType is immutable: tokens are tied to it; create a separate ConnectionConfiguration"
PROXY_ONLY = "reverseProxy applies only to deploymentType ReverseProxy"
WHOLE_SECOND = "licenseExpiresAt must be a whole second of a year from 2000 to 9998"
UNRECORDED = (
    "the end of the licence is still being recorded: wait until status.tokens[].notAfter shows it, then change it"
)
SECRET_STAYS = "secretName is immutable"
RECOMMEND_BOUNDS = "recommendAfter must be between 1s and 87600h"
REQUIRE_BOUNDS = "requireAfter must be between 1s and 87600h"
REMIND_IN_ORDER = "requireAfter must not be shorter than recommendAfter"
SERIAL_FALLS = "status.lastSerial cannot be lowered"
TWO_LIVE = "at most 2 tokens may be pending or active"
AHEAD = "status.tokens cannot run ahead of status.lastSerial"
FOR_EVER = "a revoked token never becomes active again"
GONE = "a token that has left status.tokens never comes back"


class RefusedEdit(NamedTuple):
    """An edit of the spec that is refused, given the tokens and the vacant slots that are on record."""

    id: str
    before: Json
    tokens: list[Json]
    after: Json
    text: str
    vacant: tuple[str, ...] = ()


class AllowedEdit(NamedTuple):
    """An edit of the spec that is allowed, given the tokens that are on record."""

    id: str
    before: Json
    tokens: list[Json]
    after: Json


def record(slot: str, serial: int = 1, state: str = "Active", **more: object) -> Json:
    """Write a token as the status has it."""
    return {
        "slot": slot,
        "tokenID": f"t-{serial}",
        "serial": serial,
        "kid": "k-1",
        "state": state,
        "claimsDigest": f"d-{serial}",
        "issuedTime": "2029-01-01T12:00:00Z",
        "instances": 0,
        **more,
    }


def revoked(slot: str, serial: int = 1, reason: str = "Manual") -> Json:
    return record(slot, serial, "Revoked", revokedTime="2029-06-01T12:00:00Z", reason=reason)


def recorded(*tokens: Json, last: int | None = None) -> Json:
    """Write a status with these tokens, and the last running number that fits them."""
    return {"lastSerial": last or max(token["serial"] for token in tokens), "tokens": list(tokens)}


CREATE_REFUSED = [
    Refused("three slots", {}, KUBERNETES | {"tokens": slots("a", "b", "c")}, TWO_AT_MOST),
    Refused("the same slot twice", {}, KUBERNETES | {"tokens": slots("a", "a")}, UNIQUE),
    Refused("a proxy of Kubernetes", {}, PROXY | KUBERNETES, PROXY_ONLY),
    *(
        Refused(f"licence until {end}", {}, KUBERNETES | {"licenseExpiresAt": end}, WHOLE_SECOND)
        for end in (
            "2030-01-01T12:00:00.5Z",
            "2030-01-01T12:00:00.000001Z",
            "1999-12-31T23:59:59Z",
            "2000-01-01T00:00:00+00:01",
            "9999-01-01T00:00:00Z",
            "9998-12-31T23:59:59-00:01",
        )
    ),
    *(
        Refused(f"{field} {age}", {}, KUBERNETES | {"rotationPolicy": {field: age}}, text)
        for field, text in (("recommendAfter", RECOMMEND_BOUNDS), ("requireAfter", REQUIRE_BOUNDS))
        for age in ("0s", "87600h1s", "99999999999999h")
    ),
    *(
        Refused(f"reminders of {policy}", {}, KUBERNETES | {"rotationPolicy": policy}, REMIND_IN_ORDER)
        for policy in (
            {"recommendAfter": "2h", "requireAfter": "1h59m59s"},
            {"requireAfter": "4379h"},
            {"recommendAfter": "8761h"},
        )
    ),
]

# What the schema refuses has the server's words.
SCHEMA_REFUSED = [
    *(
        Refused(
            f"deploymentType {name!r}",
            {},
            {"deploymentType": name},
            f'spec.deploymentType: Unsupported value: "{name}": supported values: "Kubernetes", "ReverseProxy"',
        )
        for name in ("kubernetes", "KUBERNETES", "reverseProxy", "Reverse Proxy", "")
    ),
    Refused("no deploymentType", {}, {}, "spec.deploymentType: Required value"),
    Refused("no slot", {}, KUBERNETES | {"tokens": []}, "spec.tokens in body should have at least 1 items"),
    Refused(
        "nine slots",
        {},
        KUBERNETES | {"tokens": slots(*"abcdefghi")},
        "spec.tokens: Too many: 9: must have at most 8 items",
    ),
    Refused("a slot without a name", {}, KUBERNETES | {"tokens": [{}]}, "spec.tokens[0].name: Required value"),
    *(
        Refused(f"slot {name[:12]!r}", {}, KUBERNETES | {"tokens": slots(name)}, "spec.tokens[0].name")
        for name in ("", "Default", "a_b", "-a", "a-", "a.b", "a b", "a\n", "ä", "x" * 64)
    ),
    *(
        Refused(f"{field} {value[:12]!r} of {len(value)}", {}, KUBERNETES | {field: value}, f"spec.{field}")
        for field, longest in (("displayName", 256), ("description", 1024))
        for value in ("red \x1b[31m alert", "two\nlines", "tab\tbed", "\u202edesrever", "\x7f", "x" * (longest + 1))
    ),
    *(
        Refused(f"licence until {end!r}", {}, KUBERNETES | {"licenseExpiresAt": end}, "spec.licenseExpiresAt")
        for end in (
            "",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T12:00:00",
            "2030-13-01T12:00:00Z",
            "2030-02-30T12:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T12:00:60Z",
            "12030-01-01T12:00:00Z",
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00-24:00",
            "2030-01-01T12:00:00+14:60",
        )
    ),
    *(
        Refused(f"{field} {age!r}", {}, KUBERNETES | {"rotationPolicy": {field: age}}, f"spec.rotationPolicy.{field}")
        for field in ("recommendAfter", "requireAfter")
        for age in ("", "5 days", "1d", "1.5h", "-1h", "1m1h")
    ),
    *(
        Refused(f"secretName {name[:12]!r}", {}, KUBERNETES | {"secretName": name}, "spec.secretName")
        for name in ("", "Not_A_Name", "a..b", "x" * 254)
    ),
    Refused("a proxy of nothing", {}, PROXY | {"reverseProxy": {}}, "spec.reverseProxy.targetHost: Required value"),
    *(
        Refused(f"{field} {str(value)[:12]!r}", {}, PROXY | {"reverseProxy": {"targetHost": "a", field: value}}, text)
        for field, value, text in (
            ("targetHost", "", "spec.reverseProxy.targetHost"),
            ("targetHost", "https://a", "spec.reverseProxy.targetHost"),
            ("targetHost", "a/b", "spec.reverseProxy.targetHost"),
            ("targetHost", "me@a", "spec.reverseProxy.targetHost"),
            ("targetHost", "a\n", "spec.reverseProxy.targetHost"),
            ("targetHost", "x" * 254, "spec.reverseProxy.targetHost"),
            ("targetPorts", [], "spec.reverseProxy.targetPorts in body should have at least 1 items"),
            ("targetPorts", [0], "spec.reverseProxy.targetPorts[0] in body should be greater than or equal to 1"),
            ("targetPorts", [443, 65536], "targetPorts[1] in body should be less than or equal to 65535"),
            ("targetPorts", ["https"], "spec.reverseProxy.targetPorts[0]"),
            ("targetPorts", list(range(1, 18)), "targetPorts: Too many: 17: must have at most 16 items"),
            ("protocol", "https", 'Unsupported value: "https": supported values: "HTTPS", "HTTP"'),
            ("protocol", "TCP", 'Unsupported value: "TCP": supported values: "HTTPS", "HTTP"'),
        )
    ),
]

CREATE_ALLOWED = [
    Allowed("the least of Kubernetes", {}, KUBERNETES),
    Allowed("the least of a proxy", {}, {"deploymentType": "ReverseProxy"}),
    Allowed(
        "all of a proxy",
        {},
        {
            "deploymentType": "ReverseProxy",
            "displayName": "Küche, 3. Stock 🏠",
            "description": "x" * 1024,
            "reverseProxy": {"targetHost": "2001:db8::1", "targetPorts": [1, 65535], "protocol": "HTTP"},
            "tokens": slots("0", "x" * 63),
            "licenseExpiresAt": "9998-12-31T23:59:59Z",
            "rotationPolicy": {"recommendAfter": "1s", "requireAfter": "87600h"},
            "secretName": "dc.west",
        },
    ),
    Allowed("a partial proxy", {}, PROXY),
    Allowed("two slots at once", {}, SLOTS_AB),
    Allowed("a licence that is over", {}, KUBERNETES | {"licenseExpiresAt": "2000-01-01T00:00:00Z"}),
    Allowed("a licence of another zone", {}, KUBERNETES | {"licenseExpiresAt": "2030-01-01T12:00:00.000+02:00"}),
    Allowed("a partial policy: recommendAfter", {}, KUBERNETES | {"rotationPolicy": {"recommendAfter": "8760h"}}),
    Allowed("a partial policy: requireAfter", {}, KUBERNETES | {"rotationPolicy": {"requireAfter": "262800m"}}),
    Allowed("an empty policy", {}, KUBERNETES | {"rotationPolicy": {}}),
]

EDIT_REFUSED = [
    RefusedEdit("a third slot", SLOTS_AB, [], KUBERNETES | {"tokens": slots("a", "b", "c")}, TWO_AT_MOST),
    RefusedEdit("the same slot twice", SLOT_A, [], KUBERNETES | {"tokens": slots("a", "a")}, UNIQUE),
    *(
        RefusedEdit(
            f"every old slot dropped, {state}", SLOT_A, tokens, KUBERNETES | {"tokens": slots("b")}, ONLY_ACTIVE
        )
        for state, tokens in (
            ("not yet planned", []),
            ("pending", [record("a", 1, "Pending")]),
            ("active", [record("a")]),
        )
    ),
    RefusedEdit("both slots dropped", SLOTS_AB, [], KUBERNETES | {"tokens": slots("c", "d")}, ONLY_ACTIVE),
    RefusedEdit("the slots removed, so that the default is back", SLOT_A, [], KUBERNETES, ONLY_ACTIVE),
    RefusedEdit("no slot at all", SLOT_A, [record("a")], KUBERNETES | {"tokens": []}, "should have at least 1 items"),
    RefusedEdit("no slot at all, in our words", SLOT_A, [record("a")], KUBERNETES | {"tokens": []}, ONLY_ACTIVE),
    *(
        RefusedEdit(f"a slot that is back while its token is {state}", SLOT_A, tokens, SLOTS_AB, STILL_REVOKED)
        for state, tokens in (
            ("active", [record("b", 2), record("a")]),
            ("pending", [record("b", 2, "Pending"), record("a")]),
            ("active anew", [record("b", 3), record("a"), revoked("b", 2)]),
        )
    ),
    RefusedEdit("a vacant slot that is back at once", SLOT_A, [record("a")], SLOTS_AB, STILL_REMOVED, ("b",)),
    RefusedEdit(
        "a slot that is back in the place of another",
        KUBERNETES | {"tokens": slots("a", "c")},
        [record("b", 2), record("a")],
        SLOTS_AB,
        STILL_REVOKED,
    ),
    *(
        RefusedEdit(
            f"the only one dropped for one {state}", SLOTS_AB, tokens, KUBERNETES | {"tokens": new}, ONLY_ACTIVE
        )
        for state, tokens, new in (
            ("without a token", [record("a")], slots("b")),
            ("without a token, though it is pending itself", [record("a", 1, "Pending")], slots("b")),
            ("that is revoked, though it is pending itself", [record("a", 2, "Pending"), revoked("b")], slots("b")),
            ("that is pending", [record("b", 2, "Pending"), record("a")], slots("b")),
            ("that is revoked", [record("a", 2), revoked("b")], slots("b")),
            ("that is pending and one more", [record("b", 2, "Pending"), record("a")], slots("b", "c")),
        )
    ),
    RefusedEdit(
        "a slot that is on its way out as the successor",
        SLOTS_AB,
        [record("c", 3)],
        KUBERNETES | {"tokens": slots("b", "c")},
        ONLY_ACTIVE,
    ),
    RefusedEdit("another type", KUBERNETES, [], {"deploymentType": "ReverseProxy"}, TYPE_STAYS),
    RefusedEdit("another type of a proxy", PROXY, [record("default")], KUBERNETES, TYPE_STAYS),
    RefusedEdit("a proxy set for Kubernetes", KUBERNETES, [], PROXY | KUBERNETES, PROXY_ONLY),
    RefusedEdit("secretName set", KUBERNETES, [], KUBERNETES | {"secretName": "a"}, SECRET_STAYS),
    RefusedEdit("secretName unset", KUBERNETES | {"secretName": "a"}, [], KUBERNETES, SECRET_STAYS),
    RefusedEdit(
        "secretName changed", KUBERNETES | {"secretName": "a"}, [], KUBERNETES | {"secretName": "b"}, SECRET_STAYS
    ),
    RefusedEdit(
        "a part of a second", LICENSED, [], KUBERNETES | {"licenseExpiresAt": "2031-01-01T12:00:00.001Z"}, WHOLE_SECOND
    ),
    *(
        RefusedEdit(f"a licence {verb} while {state}", LICENSED, tokens, after, UNRECORDED)
        for verb, after in (("extended", KUBERNETES | {"licenseExpiresAt": LATER}), ("removed", KUBERNETES))
        for state, tokens in (
            ("its end is not recorded", [record("default")]),
            ("a later end is recorded", [record("default", notAfter=LATER)]),
            ("a pending token lacks it", [record("b", 2, "Pending"), record("default", notAfter=END)]),
        )
    ),
    RefusedEdit(
        "reminders out of order",
        KUBERNETES | {"rotationPolicy": {"requireAfter": "5000h"}},
        [],
        KUBERNETES | {"rotationPolicy": {"recommendAfter": "5001h", "requireAfter": "5000h"}},
        REMIND_IN_ORDER,
    ),
]

EDIT_ALLOWED = [
    AllowedEdit("nothing at all", KUBERNETES, [], KUBERNETES),
    AllowedEdit("the default spelled out", KUBERNETES, [record("default")], KUBERNETES | {"tokens": slots("default")}),
    AllowedEdit("a second slot", SLOT_A, [record("a")], SLOTS_AB),
    AllowedEdit("a second slot before the first has a token", SLOT_A, [], SLOTS_AB),
    AllowedEdit("the older one dropped", SLOTS_AB, [record("b", 2), record("a")], KUBERNETES | {"tokens": slots("b")}),
    AllowedEdit("the newer one dropped", SLOTS_AB, [record("b", 2), record("a")], SLOT_A),
    AllowedEdit("a pending one dropped", SLOTS_AB, [record("b", 2, "Pending"), record("a")], SLOT_A),
    AllowedEdit(
        "one dropped before any is active",
        SLOTS_AB,
        [record("b", 2, "Pending"), record("a", 1, "Pending")],
        KUBERNETES | {"tokens": slots("b")},
    ),
    AllowedEdit(
        "one revoked and another generated",
        SLOTS_AB,
        [record("b", 2), record("a")],
        KUBERNETES | {"tokens": slots("a", "c")},
    ),
    AllowedEdit("another order", SLOTS_AB, [record("a")], KUBERNETES | {"tokens": slots("b", "a")}),
    AllowedEdit("a slot that is back once its token is revoked", SLOT_A, [record("a", 2), revoked("b")], SLOTS_AB),
    AllowedEdit(
        "one of two slots whose tokens ended with the licence",
        SLOTS_AB,
        [revoked("b", 2, "LicenseExpired"), revoked("a", 1, "LicenseExpired")],
        KUBERNETES | {"tokens": slots("b")},
    ),
    AllowedEdit("names for people", KUBERNETES, [record("default")], KUBERNETES | {"displayName": "Küche"}),
    AllowedEdit("a proxy set", {"deploymentType": "ReverseProxy"}, [record("default")], PROXY),
    AllowedEdit("a licence set", KUBERNETES, [record("default")], LICENSED),
    AllowedEdit(
        "an unrecorded licence shortened", LICENSED, [record("default")], LICENSED | {"licenseExpiresAt": EARLIER}
    ),
    AllowedEdit(
        "an unrecorded licence in another zone",
        LICENSED,
        [record("default")],
        LICENSED | {"licenseExpiresAt": "2031-01-01T14:00:00+02:00"},
    ),
    *(
        AllowedEdit(f"a licence {verb} {state}", LICENSED, tokens, after)
        for verb, after in (("extended", KUBERNETES | {"licenseExpiresAt": LATER}), ("removed", KUBERNETES))
        for state, tokens in (
            ("once it is recorded", [record("default", notAfter=END)]),
            ("with no token on record", []),
            ("after all tokens ended", [revoked("default", reason="LicenseExpired")]),
        )
    ),
    AllowedEdit(
        "a licence that had been shortened",
        LICENSED,
        [record("default", notAfter=EARLIER)],
        LICENSED | {"licenseExpiresAt": LATER},
    ),
    AllowedEdit("other reminders", KUBERNETES, [], KUBERNETES | {"rotationPolicy": {"requireAfter": "5000h"}}),
]

FULL = recorded(record("b", 5), record("a", 4, "Pending"), revoked("c", 3), revoked("b", 2), revoked("a", 1))

STATUS_REFUSED = [
    Refused("lastSerial lowered", recorded(last=3), recorded(last=2), SERIAL_FALLS),
    Refused("lastSerial removed", recorded(last=3), {"observedGeneration": 1}, SERIAL_FALLS),
    Refused(
        "a third live token",
        recorded(record("b", 2), record("a")),
        recorded(record("a", 3, "Pending"), record("b", 2), record("a")),
        TWO_LIVE,
    ),
    Refused("three live tokens at once", {}, recorded(*(record(name, n) for n, name in enumerate("abc", 1))), TWO_LIVE),
    Refused("ahead of lastSerial", {}, recorded(record("a", 2), last=1), AHEAD),
    Refused("a token without lastSerial", {}, {"tokens": [record("a")]}, AHEAD),
    Refused(
        "a new token that raises nothing", recorded(record("a")), {"lastSerial": 1, "tokens": [record("b", 2)]}, AHEAD
    ),
    *(
        Refused(f"revoked to {state}", recorded(revoked("a")), recorded(record("a", state=state)), FOR_EVER)
        for state in ("Active", "Pending")
    ),
    Refused(
        "revoked to active under a new serial",
        recorded(revoked("a")),
        recorded(record("a", 2, tokenID="t-1")),
        FOR_EVER,
    ),
    Refused(
        "revoked to active beside its record",
        recorded(revoked("a")),
        recorded(record("a"), revoked("a")),
        FOR_EVER,
    ),
    Refused("a dropped one is back", recorded(record("b", 2)), recorded(record("b", 2), record("a")), GONE),
    Refused("a dropped one is back as revoked", recorded(record("b", 2)), recorded(record("b", 2), revoked("a")), GONE),
    Refused("one is back in an emptied list", recorded(last=1), recorded(record("a")), GONE),
    Refused("one is back where there was no list", {"lastSerial": 1}, recorded(record("a")), GONE),
    *(
        Refused(
            f"another {field} of a known token",
            recorded(record("a"), last=2),
            recorded(record("a") | change, last=2),
            GONE,
        )
        for field, change in (("tokenID", {"tokenID": "t-9"}), ("slot", {"slot": "b"}), ("serial", {"serial": 2}))
    ),
    Refused(
        "six tokens",
        {},
        recorded(*(revoked("a", serial) for serial in range(1, 7))),
        "status.tokens: Too many: 6: must have at most 5 items",
    ),
    Refused("a state that is none", {}, recorded(record("a", state="Expired")), 'Unsupported value: "Expired"'),
    Refused(
        "a fourth reason",
        {},
        recorded(revoked("a", reason="TooOld")),
        'Unsupported value: "TooOld": supported values: "Manual", "LicenseExpired", "ConfigurationDeleted"',
    ),
    Refused("the token itself", {}, recorded(record("a", tokenID="ey.ey.x")), "status.tokens[0].tokenID"),
]

STATUS_ALLOWED = [
    Allowed("planned", {}, recorded(record("a", 1, "Pending"))),
    Allowed("two planned", {}, recorded(record("b", 2, "Pending"), record("a", 1, "Pending"))),
    Allowed("pending to active", recorded(record("a", 1, "Pending")), recorded(record("a"))),
    Allowed("a second one", recorded(record("a")), recorded(record("b", 2, "Pending"), record("a"))),
    Allowed(
        "one revoked as another is planned",
        recorded(record("b", 2), record("a")),
        recorded(record("a", 3, "Pending"), record("b", 2), revoked("a")),
    ),
    Allowed("revoked before it was active", recorded(record("a", 1, "Pending")), recorded(revoked("a"))),
    Allowed(
        "all ended with the licence",
        recorded(record("b", 2), record("a")),
        recorded(revoked("b", 2, "LicenseExpired"), revoked("a", 1, "LicenseExpired")) | {"vacantSlots": ["b", "a"]},
    ),
    Allowed("the full record", {}, FULL),
    Allowed(
        "the oldest revoked one left out",
        FULL,
        recorded(record("b", 5), revoked("a", 4), revoked("c", 3), revoked("b", 2)),
    ),
    Allowed("a serial that was spent on nothing", recorded(record("a")), recorded(record("a"), last=9)),
    Allowed(
        "who uses it",
        recorded(record("a")),
        recorded(record("a", instances=2000)) | {"activeTokens": 1, "currentTokenID": "t-1"},
    ),
    Allowed("an end of the licence", recorded(record("a")), recorded(record("a", notAfter=END))),
]

# What is reached on the way: a spec, and a status that the controller may have given it by then.
LEGAL_STATES = [
    Allowed("new", SLOT_A, {}),
    Allowed("planned", SLOT_A, recorded(record("a", 1, "Pending"))),
    Allowed("active", SLOT_A, recorded(record("a"))),
    Allowed("a slot without a token", SLOTS_AB, recorded(record("a"))),
    Allowed("a pending second", SLOTS_AB, recorded(record("b", 2, "Pending"), record("a"))),
    Allowed("a dropped slot that is still active", SLOT_A, recorded(record("b", 2), record("a"))),
    Allowed("two active and three revoked", SLOTS_AB, FULL),
    Allowed("a slot that has no active token, and one that is gone has", SLOTS_AB, recorded(record("c"))),
    Allowed("an unrecorded licence", SLOT_A | {"licenseExpiresAt": END}, recorded(record("a"))),
    Allowed("a recorded licence", SLOT_A | {"licenseExpiresAt": END}, recorded(record("a", notAfter=END))),
    Allowed(
        "a licence that is over",
        SLOTS_AB | {"licenseExpiresAt": "2020-01-01T00:00:00Z"},
        recorded(revoked("a", reason="LicenseExpired")) | {"vacantSlots": ["a", "b"]},
    ),
    Allowed("a proxy", PROXY, recorded(record("default"))),
]


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("connection-rules")


@pytest.fixture(scope="module")
def connection(namespace: str) -> Callable[[Json], Json]:
    """Build ConnectionConfigurations of names that nobody uses yet."""
    numbers = itertools.count(1)

    def build(spec: Json) -> Json:
        return a_connection(namespace, f"connection-{next(numbers)}") | {"spec": spec}

    return build


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller's name, which the policies ask for, with every right: what refuses it is a rule."""
    return admin.as_user(installed.service_account("controller"), "system:masters")


@every_creator
@by_id(CREATE_REFUSED)
def test_a_create_is_refused_with_its_text(admin: Api, connection: Any, writer: Writer, case: Refused) -> None:
    body = connection(case.after)

    answer = writer.create(admin, body)

    assert not answer.succeeded
    assert case.text in answer.message
    assert admin.find(body) is None


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, connection: Any, case: Refused) -> None:
    answer = admin.create(connection(case.after))

    assert not answer.succeeded
    assert case.text in answer.message


@every_creator
@by_id(CREATE_ALLOWED)
def test_a_create_is_allowed_and_gets_the_defaults(admin: Api, connection: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, connection(case.after))

    assert answer.succeeded, answer.message
    assert answer.body["spec"] == defaulted(case.after)
    assert answer.body["status"] == {"observedGeneration": -1}


@every_writer
@by_id(EDIT_REFUSED)
def test_an_edit_is_refused_with_its_text(
    admin: Api, controller: Api, connection: Any, writer: Writer, case: RefusedEdit
) -> None:
    before = connection(case.before)
    stored = writer.create(admin, before).must_succeed()
    put_on_record(controller, before, case.tokens, case.vacant)

    answer = writer.edit(admin, before, before | {"spec": case.after})

    assert not answer.succeeded
    assert case.text in answer.message
    assert admin.get(before)["metadata"]["generation"] == stored["metadata"]["generation"]


@every_writer
@by_id(EDIT_ALLOWED)
def test_an_edit_is_allowed(admin: Api, controller: Api, connection: Any, writer: Writer, case: AllowedEdit) -> None:
    before = connection(case.before)
    writer.create(admin, before).must_succeed()
    put_on_record(controller, before, case.tokens)

    answer = writer.edit(admin, before, before | {"spec": case.after})

    assert answer.succeeded, answer.message
    assert admin.get(before)["spec"] == defaulted(case.after)


@every_status_writer
@by_id(STATUS_REFUSED)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, connection: Any, write_status: Any, case: Refused
) -> None:
    new = connection(KUBERNETES)
    before, after = new | {"status": case.before}, new | {"status": case.after}
    admin.create(new).must_succeed()
    write_status(controller, new, before).must_succeed()

    answer = write_status(controller, before, after)

    assert not answer.succeeded
    assert case.text in answer.message


@every_status_writer
@by_id(STATUS_ALLOWED)
def test_a_status_is_allowed(admin: Api, controller: Api, connection: Any, write_status: Any, case: Allowed) -> None:
    new = connection(KUBERNETES)
    before, after = new | {"status": case.before}, new | {"status": case.after}
    admin.create(new).must_succeed()
    write_status(controller, new, before).must_succeed()

    answer = write_status(controller, before, after)

    assert answer.succeeded, answer.message
    assert answer.body["status"] == {"observedGeneration": -1} | case.after


@every_status_writer
@by_id(LEGAL_STATES)
def test_no_rule_is_in_the_way_of_what_changes_nothing_it_speaks_of(
    admin: Api, controller: Api, connection: Any, write_status: Any, case: Allowed
) -> None:
    """A rule that refuses a label, or the same status again, would stop GitOps and the controller."""
    new = connection(case.before)
    body = new | {"status": case.after}
    admin.create(new).must_succeed()
    write_status(controller, new, body).must_succeed()

    again = write_status(controller, body, body)
    labelled = admin.merge(new, {"metadata": {"labels": {"room": "kitchen"}}})
    described = admin.merge(new, {"spec": {"description": "cameras"}})
    seen = write_status(controller, body, body | {"status": case.after | {"observedGeneration": 2}})

    for answer in (again, labelled, described, seen):
        assert answer.succeeded, answer.message


@every_writer
@by_id(LEGAL_STATES)
def test_the_same_again_writes_nothing(
    admin: Api, controller: Api, connection: Any, writer: Writer, case: Allowed
) -> None:
    body = connection(case.before)
    writer.create(admin, body).must_succeed()
    controller.merge(body, {"status": case.after}, subresource="status").must_succeed()
    version = admin.get(body)["metadata"]["resourceVersion"]

    answer = writer.edit(admin, body, body)

    assert answer.succeeded, answer.message
    assert admin.get(body)["metadata"]["resourceVersion"] == version


def test_a_status_that_is_emptied_keeps_the_serial(admin: Api, controller: Api, connection: Any) -> None:
    body = connection(SLOT_A)
    admin.create(body).must_succeed()
    controller.merge(body, {"status": recorded(record("a"))}, subresource="status").must_succeed()

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert not emptied.succeeded
    assert SERIAL_FALLS in emptied.message


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


def test_a_manager_that_gives_up_its_slots_does_not_revoke_them(admin: Api, connection: Any) -> None:
    """An applier that leaves the list out would fall back to the default slot: refused, unless that is what it is."""
    body = connection(KUBERNETES | {"tokens": slots("ci")})
    admin.apply(body).must_succeed()

    answer = admin.apply(body | {"spec": KUBERNETES})

    assert not answer.succeeded
    assert ONLY_ACTIVE in answer.message


def test_a_token_cannot_be_written_into_the_spec(admin: Api, connection: Any) -> None:
    """R18: there is no such field, and kubectl says so."""
    answer = admin.kubectl_apply(connection(KUBERNETES | {"tokens": [{"name": "a", "value": "x"}]}))

    assert not answer.succeeded
    assert 'unknown field "spec.tokens[0].value"' in answer.message


@every_creator
@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(
    admin: Api, namespace: str, writer: Writer, length: int, allowed: bool
) -> None:
    name = writer.name.replace(" ", "-").ljust(length, "x")
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": metadata, "spec": KUBERNETES}

    answer = writer.create(admin, body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    policy = {"recommendAfter": "4380h", "requireAfter": "8760h"} | spec.get("rotationPolicy", {})
    stored = {"tokens": slots("default")} | spec | {"rotationPolicy": policy}
    if "reverseProxy" in spec:
        stored["reverseProxy"] = {"targetPorts": [443], "protocol": "HTTPS"} | spec["reverseProxy"]
    return stored


def put_on_record(controller: Api, body: Json, tokens: list[Json], vacant: Sequence[str] = ()) -> None:
    """Write these tokens and vacant slots into the status, where there are any tokens."""
    if tokens:
        status = recorded(*tokens) | ({"vacantSlots": list(vacant)} if vacant else {})
        controller.merge(body, {"status": status}, subresource="status").must_succeed()


def with_slots(body: Json, names: list[str]) -> str:
    return json.dumps(body | {"spec": body["spec"] | {"tokens": slots(*names)}})
