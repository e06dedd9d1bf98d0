"""Every rule for a status of a PairingToken on a real API server, with its text."""

from typing import Any

from tests.harness.api import Answer, Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_status_writer,
    controller,
    every_status_writer,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import STATUS_PATCH, StatusWriter
from tests.live.pairing.rules_pairing_token import REVOKED, SERVICE, STATUS_SCHEMA, token

__all__ = ["controller", "token"]

Json = dict[str, Any]

REDEMPTION = {
    "redemptionID": "c-1",
    "masterTokenID": "m-1",
    "kid": "k-1",
    "scope": ["mission-control:admin"],
    "time": "2030-01-01T12:00:00Z",
}
USED = {"state": "Used", "serial": 1, "redemption": REDEMPTION}
FINAL = "a Used, Expired or Revoked token cannot become Active again"

STATUS_REFUSED = [
    Refused("ahead of the spec", {}, {"serial": 2}, "status.serial must not be greater than spec.serial"),
    Refused("serial removed", {"serial": 1}, {"state": "Pending"}, "status.serial cannot be lowered"),
    Refused(
        "revokedThrough ahead", {}, {"revokedThrough": 2}, "status.revokedThrough must not be greater than spec.serial"
    ),
    Refused("revokedThrough removed", REVOKED, {"state": "Revoked", "serial": 1}, "revokedThrough cannot be lowered"),
    Refused(
        "revoked without revokedThrough",
        {"state": "Active", "serial": 1},
        {"state": "Revoked", "serial": 1},
        "if status.state is Revoked, status.revokedThrough must be at least status.serial",
    ),
    Refused("used to active", USED, USED | {"state": "Active"}, FINAL),
    Refused("used to expired", USED, USED | {"state": "Expired"}, FINAL),
    Refused("used to nothing", USED, {"serial": 1, "redemption": REDEMPTION}, FINAL),
    Refused("expired to active", {"state": "Expired", "serial": 1}, {"state": "Active", "serial": 1}, FINAL),
    Refused("expired to used", {"state": "Expired", "serial": 1}, {"state": "Used", "serial": 1}, FINAL),
    Refused("revoked to active", REVOKED, REVOKED | {"state": "Active"}, FINAL),
    Refused("revoked to used", REVOKED, REVOKED | {"state": "Used"}, FINAL),
    Refused(
        "redemption changed",
        USED,
        USED | {"redemption": REDEMPTION | {"redemptionID": "c-2"}},
        "status.redemption is immutable once it is set",
    ),
    Refused(
        "redemption re-timed",
        USED,
        USED | {"redemption": REDEMPTION | {"time": "2030-01-01T12:00:01Z"}},
        "status.redemption is immutable once it is set",
    ),
    Refused(
        "redemption removed", USED, {"state": "Used", "serial": 1}, "status.redemption is immutable once it is set"
    ),
    Refused(
        "redemption of an active token kept active",
        {"state": "Active", "serial": 1},
        USED | {"state": "Active"},
        "status.redemption can be set only in the write",
    ),
    Refused(
        "redemption of a pending token", {"state": "Pending"}, USED, "status.redemption can be set only in the write"
    ),
    Refused("redemption of a new token", {}, USED, "status.redemption can be set only in the write"),
    Refused(
        "redemption of an expired token",
        {"state": "Expired", "serial": 1},
        REVOKED | {"redemption": REDEMPTION},
        "status.redemption can be set only in the write",
    ),
    Refused(
        "redemption of a revoked token",
        REVOKED,
        REVOKED | {"redemption": REDEMPTION},
        "status.redemption can be set only in the write",
    ),
    Refused("unknown state", {}, {"state": "Claimed"}, "status.state"),
]

STATUS_ALLOWED = [
    Allowed("pending to active", {"state": "Pending"}, {"state": "Active", "serial": 1}),
    Allowed("active to used, with its redemption", {"state": "Active", "serial": 1}, USED),
    Allowed("active to expired", {"state": "Active", "serial": 1}, {"state": "Expired", "serial": 1}),
    Allowed("active to revoked", {"state": "Active", "serial": 1}, REVOKED),
    Allowed("revoked before it was issued", {}, {"state": "Revoked"}),
    Allowed("expired to revoked", {"state": "Expired", "serial": 1}, REVOKED),
    Allowed("used to revoked, with its redemption", {**USED}, REVOKED | {"redemption": REDEMPTION}),
    Allowed("used, with conditions", USED, USED | {"observedGeneration": 1, "usedTime": "2030-01-01T12:00:00Z"}),
]

# The spec asks for serial 2; serial 1 is revoked.
REISSUED_REFUSED = [
    Refused(
        "revocation forgotten", REVOKED, {"state": "Active", "serial": 2}, "status.revokedThrough cannot be lowered"
    ),
    Refused("old serial", REVOKED, REVOKED | {"state": "Active"}, FINAL),
    Refused(
        "half revoked",
        REVOKED,
        {"state": "Revoked", "serial": 2, "revokedThrough": 1},
        "if status.state is Revoked, status.revokedThrough must be at least",
    ),
    Refused(
        "redeemed unissued",
        REVOKED,
        {"state": "Used", "serial": 2, "revokedThrough": 1, "redemption": REDEMPTION},
        "status.redemption can be set only in the write",
    ),
]

REISSUED_ALLOWED = [Allowed("active", REVOKED, {"state": "Active", "serial": 2, "revokedThrough": 1})]


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status(admin, controller, token(SERVICE), case, write_status, prepare)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask_for_status(admin, controller, token(SERVICE), case, write_status, prepare)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


@by_status_writer(REISSUED_REFUSED, STATUS_SCHEMA)
def test_a_new_serial_forgets_no_revocation(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status_of_a_new_serial(admin, controller, token(SERVICE), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(REISSUED_ALLOWED, STATUS_SCHEMA)
def test_a_new_serial_starts_afresh(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask_for_status_of_a_new_serial(admin, controller, token(SERVICE), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


@every_status_writer
def test_a_new_serial_drops_the_redemption_of_the_one_before(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter
) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, write_status)
    admin.merge(body, {"spec": {"serial": 2}}).must_succeed()

    kept = write_status(controller, body | {"status": USED}, body | {"status": USED | {"state": "Active", "serial": 2}})
    dropped = write_status(controller, body | {"status": USED}, body | {"status": {"state": "Active", "serial": 2}})

    assert "status.redemption can be set only in the write" in kept.message
    assert dropped.succeeded, dropped.message


@every_status_writer
def test_a_serial_that_is_revoked_before_it_was_issued_may_keep_the_redemption_of_the_one_before_but_no_other(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter
) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, write_status)
    admin.merge(body, {"spec": {"serial": 2}}).must_succeed()
    admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
    revoked = {"state": "Revoked", "serial": 2, "revokedThrough": 2}
    before = body | {"status": USED}

    forged = write_status(
        controller, before, body | {"status": revoked | {"redemption": REDEMPTION | {"redemptionID": "c-2"}}}
    )
    kept = write_status(controller, before, body | {"status": revoked | {"redemption": REDEMPTION}})

    assert "status.redemption can be set only in the write" in forged.message
    assert kept.succeeded, kept.message


def test_a_status_that_is_emptied_keeps_redemption_and_state(admin: Api, controller: Api, token: Any) -> None:
    body = token(SERVICE)
    admin.create(body).must_succeed()
    prepare(controller, body, USED, STATUS_PATCH)

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert "status.redemption is immutable once it is set" in emptied.message
    assert FINAL in emptied.message


def ask_for_status_of_a_new_serial(
    admin: Api, controller: Api, new: Json, case: Refused | Allowed, write_status: StatusWriter
) -> Answer:
    """Create a token, revoke serial 1, order serial 2, and give the answer to the status that is asked for."""
    admin.create(new | {"spec": SERVICE | {"revoked": True}}).must_succeed()
    write_status(controller, new, new | {"status": case.before}).must_succeed()
    reissued = new | {"spec": SERVICE | {"serial": 2}}
    admin.replace(reissued).must_succeed()
    return write_status(controller, reissued | {"status": case.before}, reissued | {"status": case.after})


def prepare(controller: Api, new: Json, status: Json, write_status: StatusWriter) -> None:
    """Bring a new token's status to where a case begins; a redemption is reached through Active alone."""
    if "redemption" in status:
        active = new | {"status": {"state": "Active", "serial": 1}}
        write_status(controller, new, active).must_succeed()
        write_status(controller, active, new | {"status": status}).must_succeed()
    elif status:
        write_status(controller, new, new | {"status": status}).must_succeed()
