"""Every rule for a status of a ConnectionConfiguration on a real API server, with its text.

No controller runs here: statuses are written by hand, as a faulty or a hostile writer would.
"""

from typing import Any, NamedTuple

from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_status_writer,
    by_writer,
    controller,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import StatusWriter, Writer
from tests.live.connections.rules_connection_configuration import (
    END,
    KUBERNETES,
    PROXY,
    SCHEMA,
    SLOT_A,
    SLOTS_AB,
    STATUS_SCHEMA,
    connection,
    record,
    recorded,
    revoked,
)

__all__ = ["connection", "controller"]

Json = dict[str, Any]

SERIAL_FALLS = "status.lastSerial cannot be lowered"
TWO_ACTIVE = "at most 2 tokens can be Pending or Active"
AHEAD = "a serial in status.tokens must not be greater than status.lastSerial"
PERMANENT = "a Revoked token cannot become Active again"
GONE = "a token that was removed from status.tokens cannot be added again"

FULL = recorded(record("b", 5), record("a", 4, "Pending"), revoked("c", 3), revoked("b", 2), revoked("a", 1))

STATUS_REFUSED = [
    Refused("lastSerial lowered", recorded(last=3), recorded(last=2), SERIAL_FALLS),
    Refused("lastSerial removed", recorded(last=3), {"observedGeneration": 1}, SERIAL_FALLS),
    Refused(
        "a third live token",
        recorded(record("b", 2), record("a")),
        recorded(record("a", 3, "Pending"), record("b", 2), record("a")),
        TWO_ACTIVE,
    ),
    Refused(
        "three live tokens at once", {}, recorded(*(record(name, n) for n, name in enumerate("abc", 1))), TWO_ACTIVE
    ),
    Refused("ahead of lastSerial", {}, recorded(record("a", 2), last=1), AHEAD),
    Refused("a token without lastSerial", {}, {"tokens": [record("a")]}, AHEAD),
    Refused(
        "a new token that raises nothing", recorded(record("a")), {"lastSerial": 1, "tokens": [record("b", 2)]}, AHEAD
    ),
    *(
        Refused(f"revoked to {state}", recorded(revoked("a")), recorded(record("a", state=state)), PERMANENT)
        for state in ("Active", "Pending")
    ),
    Refused(
        "revoked to active under a new serial",
        recorded(revoked("a")),
        recorded(record("a", 2, tokenID="t-1")),
        PERMANENT,
    ),
    Refused(
        "revoked to active beside its record",
        recorded(revoked("a")),
        recorded(record("a"), revoked("a")),
        PERMANENT,
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


class Legal(NamedTuple):
    """A spec, and a status that the controller can have written for it."""

    id: str
    spec: Json
    status: Json

    @property
    def before(self) -> Json:
        return {}

    @property
    def after(self) -> Json:
        return {"spec": self.spec, "status": self.status}


LEGAL_STATES = [
    Legal("new", SLOT_A, {}),
    Legal("planned", SLOT_A, recorded(record("a", 1, "Pending"))),
    Legal("active", SLOT_A, recorded(record("a"))),
    Legal("a slot without a token", SLOTS_AB, recorded(record("a"))),
    Legal("a pending second", SLOTS_AB, recorded(record("b", 2, "Pending"), record("a"))),
    Legal("a dropped slot that is still active", SLOT_A, recorded(record("b", 2), record("a"))),
    Legal("two active and three revoked", SLOTS_AB, FULL),
    Legal("a slot that has no active token, and one that is gone has", SLOTS_AB, recorded(record("c"))),
    Legal("an unrecorded licence", SLOT_A | {"licenseExpiresAt": END}, recorded(record("a"))),
    Legal("a recorded licence", SLOT_A | {"licenseExpiresAt": END}, recorded(record("a", notAfter=END))),
    Legal(
        "a licence that is over",
        SLOTS_AB | {"licenseExpiresAt": "2020-01-01T00:00:00Z"},
        recorded(revoked("a", reason="LicenseExpired")) | {"vacantSlots": ["a", "b"]},
    ),
    Legal("a proxy", PROXY, recorded(record("default"))),
]


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, connection: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status(admin, controller, connection(KUBERNETES), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(
    admin: Api, controller: Api, connection: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask_for_status(admin, controller, connection(KUBERNETES), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


def test_a_status_that_is_emptied_keeps_the_serial(admin: Api, controller: Api, connection: Any) -> None:
    body = connection(SLOT_A)
    admin.create(body).must_succeed()
    controller.merge(body, {"status": recorded(record("a"))}, subresource="status").must_succeed()

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert not emptied.succeeded
    assert SERIAL_FALLS in emptied.message


@by_status_writer(LEGAL_STATES, SCHEMA)
def test_no_rule_is_in_the_way_of_what_changes_nothing_it_speaks_of(
    admin: Api, controller: Api, connection: Any, write_status: StatusWriter, case: Legal
) -> None:
    """A rule that refuses a label, or the same status again, would stop GitOps and the controller."""
    new = connection(case.spec)
    body = new | {"status": case.status}
    admin.create(new).must_succeed()
    write_status(controller, new, body).must_succeed()

    again = write_status(controller, body, body)
    labelled = admin.merge(new, {"metadata": {"labels": {"room": "kitchen"}}})
    described = admin.merge(new, {"spec": {"description": "cameras"}})
    seen = write_status(controller, body, body | {"status": case.status | {"observedGeneration": 2}})

    refused = [answer.message for answer in (again, labelled, described, seen) if not answer.succeeded]
    assert refused == [], f"{case.id!r} by {write_status.name}"


@by_writer(LEGAL_STATES, SCHEMA)
def test_the_same_again_writes_nothing(
    admin: Api, controller: Api, connection: Any, writer: Writer, case: Legal
) -> None:
    body = connection(case.spec)
    writer.create(admin, body).must_succeed()
    controller.merge(body, {"status": case.status}, subresource="status").must_succeed()
    version = admin.get(body)["metadata"]["resourceVersion"]

    answer = writer.edit(admin, body, body)

    assert answer.succeeded, answer.message
    assert admin.get(body)["metadata"]["resourceVersion"] == version
