"""Every rule for an edit of a ConnectionConfiguration on a real API server, with its text.

No controller runs here: what is on record is written by hand.
"""

from typing import Any, NamedTuple

from tests.harness.api import Api
from tests.harness.connections import slots
from tests.harness.rule_cases import by_writer, controller, must_be_refused, must_be_stored
from tests.harness.writers import Writer
from tests.live.connections.rules_connection_configuration import (
    EARLIER,
    END,
    KUBERNETES,
    LATER,
    LICENSED,
    ONLY_ACTIVE,
    PROXY,
    PROXY_ONLY,
    REMIND_IN_ORDER,
    SLOT_A,
    SLOTS_AB,
    SPEC_SCHEMA,
    STILL_REVOKED,
    TWO_AT_MOST,
    UNIQUE,
    WHOLE_SECOND,
    connection,
    defaulted,
    put_on_record,
    record,
    revoked,
)

__all__ = ["connection", "controller"]

Json = dict[str, Any]

STILL_REMOVED = "use another slot name, or wait until status.vacantSlots no longer lists this one"
TYPE_STAYS = "deploymentType is immutable: it is part of each token; create a separate ConnectionConfiguration"
UNRECORDED = (
    "the previous licenseExpiresAt is not recorded yet; wait until status.tokens[].notAfter shows it, then change it"
)
TYPO, BEFORE_ISSUE = "2020-01-01T00:00:00Z", "must not be before the newest token was issued"
SECRET_STAYS = "secretName is immutable"
OUTLIVED = (
    "the remaining token expires within seconds; wait until status.tokens reports it as Revoked, then edit spec.tokens"
)
LICENSED_A, LICENSED_AB = SLOT_A | LICENSED, SLOTS_AB | LICENSED


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
            ("that is pending, as it is itself", [record("b", 2, "Pending"), record("a", 1, "Pending")], slots("b")),
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
    *(
        RefusedEdit(f"one dropped that outlives the other, {state}", before, tokens, after, OUTLIVED)
        for state, before, tokens, after in (
            ("by its record", LICENSED_AB, [record("b", 2, notAfter=END), record("a", notAfter=EARLIER)], LICENSED_A),
            (
                "though it is pending",
                LICENSED_AB,
                [record("b", 2, "Pending", notAfter=END), record("a", notAfter=EARLIER)],
                LICENSED_A,
            ),
            ("as it has no end", SLOTS_AB, [record("b", 2), record("a", notAfter=EARLIER)], SLOT_A),
            (
                "for another one",
                SLOTS_AB,
                [record("b", 2), record("a", notAfter=EARLIER)],
                KUBERNETES | {"tokens": slots("a", "c")},
            ),
        )
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
    *(
        RefusedEdit(
            f"a licence {verb} before the newest token was issued, {state}",
            before,
            tokens,
            KUBERNETES | {"licenseExpiresAt": TYPO},
            f"licenseExpiresAt {TYPO} {BEFORE_ISSUE} at 2029-01-01T12:00:00Z; to revoke all tokens at once",
        )
        for verb, before in (("set", KUBERNETES), ("moved", LICENSED))
        for state, tokens in (
            ("active", [record("default", notAfter=END)]),
            ("pending", [record("default", 1, "Pending", notAfter=END)]),
            ("beside an older one", [record("b", 2), record("default", issuedTime="2019-01-01T12:00:00Z")]),
            ("revoked since", [revoked("default")]),
        )
    ),
    RefusedEdit(
        "a licence set a second before the newest token was issued",
        KUBERNETES,
        [record("default")],
        KUBERNETES | {"licenseExpiresAt": "2029-01-01T11:59:59Z"},
        BEFORE_ISSUE,
    ),
    RefusedEdit(
        "reminders out of order",
        KUBERNETES | {"rotationPolicy": {"requireAfter": "5000h"}},
        [],
        KUBERNETES | {"rotationPolicy": {"recommendAfter": "5001h", "requireAfter": "5000h"}},
        REMIND_IN_ORDER,
    ),
    *(
        RefusedEdit(
            f"requireAfter {verb}, out of order",
            KUBERNETES | {"rotationPolicy": {"recommendAfter": "9000h", "requireAfter": "9001h"}},
            [],
            KUBERNETES | {"rotationPolicy": {"recommendAfter": "9000h"} | after},
            REMIND_IN_ORDER,
        )
        for verb, after in (("changed", {"requireAfter": "8999h"}), ("unset, so that the default is back", {}))
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
        "the later one dropped before any is active",
        SLOTS_AB,
        [record("b", 2, "Pending"), record("a", 1, "Pending")],
        SLOT_A,
    ),
    AllowedEdit(
        "one revoked and another generated",
        SLOTS_AB,
        [record("b", 2), record("a")],
        KUBERNETES | {"tokens": slots("a", "c")},
    ),
    *(
        AllowedEdit(f"one dropped {case}", before, tokens, after)
        for case, before, tokens, after in (
            (
                "of two that end together",
                LICENSED_AB,
                [record("b", 2, notAfter=END), record("a", notAfter=END)],
                LICENSED_A,
            ),
            (
                "that the other outlives",
                LICENSED_AB,
                [record("b", 2, notAfter=EARLIER), record("a", notAfter=END)],
                LICENSED_A,
            ),
            ("that has an end beside one without", SLOTS_AB, [record("b", 2, notAfter=END), record("a")], SLOT_A),
            (
                "that would have outlived the other, but is revoked",
                LICENSED_AB,
                [
                    record("a", 3, notAfter=EARLIER),
                    record("b", 2, "Revoked", notAfter=END, revokedTime=EARLIER, reason="Manual"),
                ],
                LICENSED_A,
            ),
        )
    ),
    AllowedEdit(
        "the spec but not the slots, while one outlives the other",
        LICENSED_AB,
        [record("b", 2, notAfter=END), record("a", notAfter=EARLIER)],
        LICENSED_AB | {"displayName": "Küche"},
    ),
    AllowedEdit(
        "a slot added, while one token ends before the licence",
        LICENSED_A,
        [record("a", notAfter=EARLIER)],
        LICENSED_AB,
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
        "a licence set to the second of the issue",
        KUBERNETES,
        [record("default")],
        KUBERNETES | {"licenseExpiresAt": "2029-01-01T12:00:00Z"},
    ),
    AllowedEdit("a licence that is over, before any token", KUBERNETES, [], KUBERNETES | {"licenseExpiresAt": TYPO}),
    AllowedEdit(
        "a note beside a licence that is over",
        KUBERNETES | {"licenseExpiresAt": TYPO},
        [revoked("default", reason="LicenseExpired")],
        KUBERNETES | {"licenseExpiresAt": TYPO, "description": "over"},
    ),
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
    AllowedEdit("the reminders unset", KUBERNETES | {"rotationPolicy": {"requireAfter": "5000h"}}, [], KUBERNETES),
    *(
        AllowedEdit(f"a proxy {verb}", PROXY | {"reverseProxy": before}, [], PROXY | {"reverseProxy": after})
        for verb, before, after in (
            ("of another host", {"targetHost": "a"}, {"targetHost": "b"}),
            ("of another protocol", {"targetHost": "a"}, {"targetHost": "a", "protocol": "HTTP"}),
            ("of the default protocol", {"targetHost": "a", "protocol": "HTTP"}, {"targetHost": "a"}),
        )
    ),
    AllowedEdit("a proxy unset", PROXY, [], {"deploymentType": "ReverseProxy"}),
]


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(
    admin: Api, controller: Api, connection: Any, writer: Writer, case: RefusedEdit
) -> None:
    before = connection(case.before)
    stored = writer.create(admin, before).must_succeed()
    put_on_record(controller, before, case.tokens, case.vacant)

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert admin.get(before)["metadata"]["generation"] == stored["metadata"]["generation"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(admin: Api, controller: Api, connection: Any, writer: Writer, case: AllowedEdit) -> None:
    before = connection(case.before)
    writer.create(admin, before).must_succeed()
    put_on_record(controller, before, case.tokens)

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, admin.get(before)["spec"], defaulted(case.after))
