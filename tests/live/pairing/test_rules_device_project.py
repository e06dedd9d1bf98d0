"""Every rule of a PairingToken about its devices and their rotations on a real API server, with its text."""

from typing import Any

from tests.harness.api import Answer, Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_creator,
    by_id,
    by_status_writer,
    by_writer,
    controller,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import CREATE, STATUS_REPLACE, StatusWriter, Writer
from tests.live.pairing.rules_pairing_token import DEVICES, SERVICE, SPEC_SCHEMA, STATUS_SCHEMA, token

__all__ = ["controller", "token"]

Json = dict[str, Any]

NOON = "2030-01-01T12:00:00Z"
A_DEVICE = "d-" + "a" * 26

FIELDS: Json = {
    "maxDevices": 10,
    "enrolment": "Closed",
    "proofOfPossession": "Optional",
    "checkInPeriod": "1m",
    "deviceLabels": {"site": "berlin"},
}
NO_KEY = "each key of deviceLabels must be the key of a label, such as site or example.com/site"
PERIOD = "checkInPeriod must be between 5s and 24h"
PROOF = "proofOfPossession is immutable"

CREATE_REFUSED = [
    *(
        Refused(f"{field} of a service", {}, SERVICE | {field: value}, f"{field} applies only to purpose DeviceProject")
        for field, value in FIELDS.items()
    ),
    *(
        Refused(f"a period of {period}", {}, DEVICES | {"checkInPeriod": period}, PERIOD)
        for period in ("4s", "0s", "24h1s", "999999h")
    ),
    *(
        Refused(f"a label of key {key[:16]!r}", {}, DEVICES | {"deviceLabels": {key: "a"}}, NO_KEY)
        for key in ("", "a b", "-a", "a-", "a/b/c", "/a", "a/", "Example.com/a", "x" * 64, "küche", "site\n")
    ),
]
SCHEMA_REFUSED = [
    Refused(f"{field} {str(value)[:24]!r}", {}, DEVICES | {field: value}, f"spec.{field}")
    for field, value in (
        ("maxDevices", 0),
        ("maxDevices", 1_000_001),
        ("enrolment", "Ajar"),
        ("proofOfPossession", "None"),
        ("checkInPeriod", "15"),
        ("deviceLabels", {f"k-{number}": "a" for number in range(17)}),
        ("deviceLabels", {"site": "-berlin"}),
        ("deviceLabels", {"site": "x" * 64}),
    )
]
CREATE_ALLOWED = [
    Allowed("all fields", {}, DEVICES | FIELDS),
    *(Allowed(f"at most {number} devices", {}, DEVICES | {"maxDevices": number}) for number in (1, 1_000_000)),
    *(Allowed(f"a period of {period}", {}, DEVICES | {"checkInPeriod": period}) for period in ("5s", "24h")),
    Allowed(
        "16 labels",
        {},
        DEVICES | {"deviceLabels": {f"example.com/k-{number}": "A_b.c" for number in range(15)} | {"x" * 63: ""}},
    ),
]
EDIT_REFUSED = [
    Refused("another proof set", DEVICES, DEVICES | {"proofOfPossession": "Optional"}, PROOF),
    Refused("the proof unset", DEVICES | {"proofOfPossession": "Optional"}, DEVICES, PROOF),
    Refused(
        "the proof changed with a new serial",
        DEVICES | {"proofOfPossession": "Optional"},
        DEVICES | {"proofOfPossession": "Required", "serial": 2},
        PROOF,
    ),
]
EDIT_ALLOWED = [
    Allowed("the default written out", DEVICES, DEVICES | {"proofOfPossession": "Required"}),
    *(Allowed(f"{field} set", DEVICES, DEVICES | {field: FIELDS[field]}) for field in ("maxDevices", "enrolment")),
    Allowed("fewer devices", DEVICES | {"maxDevices": 10}, DEVICES | {"maxDevices": 1}),
    Allowed("opened again", DEVICES | {"enrolment": "Closed"}, DEVICES),
    Allowed("other labels", DEVICES | FIELDS, DEVICES | FIELDS | {"deviceLabels": {"site": "paris"}}),
]


def rotation(uid: str, generation: int, state: str = "Running", **counts: int) -> Json:
    numbers = {"pending": 0, "inProgress": 0, "succeeded": 0, "failed": 0} | counts
    return {"rotation": {"name": "rot-1", "uid": uid, "generation": generation, "state": state} | numbers}


def generation(number: int) -> Json:
    return {"generation": number}


RISES = "status.generation rises by 1 and never falls"
BY_LOCK = "status.generation rises only in the write that starts a rotation in status.rotation"
BY_RAISE = "status.rotation can start only in the write that raises status.generation to its generation"
LOCKED = "a rotation of this token is running"
RECORD = "this rotation has finished and does not run again"
FLOOR = "status.revokedBelowGeneration must not be greater than status.generation"
FLOOR_KEPT = "status.revokedBelowGeneration cannot be lowered: a revocation is permanent"

RUNNING = generation(2) | rotation("a", 2)
FINAL = ("Succeeded", "Failed", "Aborted")

STATUS_REFUSED = [
    Refused("the first value is not the first", {}, generation(2), RISES),
    Refused("a value skipped", generation(1), generation(3) | rotation("a", 3), RISES),
    Refused("an earlier value", RUNNING, generation(1) | rotation("a", 2), RISES),
    Refused("no value any more", RUNNING, rotation("a", 2), RISES),
    Refused("a value without a rotation", generation(1), generation(2), BY_LOCK),
    Refused("a value with a rotation of another", generation(1), generation(2) | rotation("a", 1), BY_LOCK),
    Refused("a value in a rotation that runs", RUNNING, generation(3) | rotation("a", 3), BY_LOCK),
    Refused("a rotation without a value", generation(1), generation(1) | rotation("a", 1), BY_RAISE),
    Refused("a rotation of the next value", generation(1), generation(1) | rotation("a", 2), BY_RAISE),
    Refused("another value of a rotation that runs", RUNNING, generation(2) | rotation("a", 3), BY_RAISE),
    *(
        Refused(f"another rotation while one is {state}", RUNNING | rotation("a", 2, state), other, LOCKED)
        for state in ("Pending", "Running", "Paused", "Halted", "Aborting")
        for other in (generation(3) | rotation("b", 3),)
    ),
    Refused("the lock is lost", RUNNING, generation(2), LOCKED),
    *(
        Refused(f"a rotation that was {state} runs", RUNNING | rotation("a", 2, state), RUNNING, RECORD)
        for state in FINAL
    ),
    Refused("revoked below the next value", generation(1), generation(1) | {"revokedBelowGeneration": 2}, FLOOR),
    Refused(
        "fewer revoked",
        RUNNING | {"revokedBelowGeneration": 2},
        RUNNING | {"revokedBelowGeneration": 1},
        FLOOR_KEPT,
    ),
    Refused("none revoked any more", RUNNING | {"revokedBelowGeneration": 2}, RUNNING, FLOOR_KEPT),
    Refused(
        "65 places",
        {},
        {"enrolling": [{"name": A_DEVICE, "generation": 1, "time": NOON}] * 65},
        "status.enrolling: Too many",
    ),
    Refused(
        "a place of another name",
        {},
        {"enrolling": [{"name": "cam-17", "generation": 1, "time": NOON}]},
        "status.enrolling[0].name",
    ),
    Refused("fewer devices than none", {}, {"devices": -1}, "status.devices"),
    Refused(
        "11 rotations that have run",
        {},
        {"rotations": [{"name": "r", "uid": "a", "generation": 1, "state": "Failed", "finishTime": NOON}] * 11},
        "status.rotations: Too many",
    ),
]
STATUS_ALLOWED = [
    Allowed("the first value", {}, generation(1)),
    Allowed("a rotation starts", generation(1), RUNNING),
    Allowed("its counts", RUNNING, RUNNING | rotation("a", 2, "Paused", pending=3, failed=1)),
    *(
        Allowed(
            f"the next one starts after one was {state}",
            RUNNING | rotation("a", 2, state),
            generation(3) | rotation("b", 3),
        )
        for state in FINAL
    ),
    Allowed("a finished one is forgotten", RUNNING | rotation("a", 2, "Failed"), generation(2)),
    Allowed("older ones revoked at the start", generation(1), RUNNING | {"revokedBelowGeneration": 2}),
    Allowed(
        "a place taken",
        generation(1),
        generation(1) | {"devices": 3, "enrolling": [{"name": A_DEVICE, "generation": 1, "time": NOON}]},
    ),
    Allowed("fewer devices", generation(1) | {"devices": 3}, generation(1) | {"devices": 2}),
]


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    answer = writer.create(admin, token(case.after))

    must_be_refused(case, writer, answer)


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, token: Any, case: Refused) -> None:
    answer = admin.create(token(case.after))

    must_be_refused(case, CREATE, answer)


@by_creator(CREATE_ALLOWED, SPEC_SCHEMA)
def test_a_create_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, token(case.after))

    must_be_stored(case, writer, answer, of_devices(answer.body.get("spec", {})), of_devices(case.after))


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(admin: Api, token: Any, writer: Writer, case: Refused) -> None:
    before = token(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert admin.get(before)["spec"] == stored["spec"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(admin: Api, token: Any, writer: Writer, case: Allowed) -> None:
    before = token(case.before)
    writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, of_devices(admin.get(before)["spec"]), of_devices(case.after))


def of_devices(spec: Json) -> Json:
    """Return the fields that only purpose DeviceProject has. The schema gives none of them a default."""
    return {field: spec[field] for field in FIELDS if field in spec}


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask(admin, controller, token(DEVICES), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(
    admin: Api, controller: Api, token: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask(admin, controller, token(DEVICES), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


def ask(admin: Api, controller: Api, new: Json, case: Refused | Allowed, write_status: StatusWriter) -> Answer:
    return ask_for_status(admin, controller, new, case, write_status, prepare)


def prepare(controller: Api, new: Json, status: Json, write_status: StatusWriter) -> None:
    """Bring a new token's status to where a case begins: a rotation has had a value before its own."""
    if "rotation" in status:
        write_status(controller, new, new | {"status": generation(1)}).must_succeed()
    begins = new | {"status": generation(1) if "rotation" in status else {}}
    write_status(controller, begins, new | {"status": status}).must_succeed()


def test_a_status_that_is_emptied_keeps_the_lock_and_the_generation(admin: Api, controller: Api, token: Any) -> None:
    body = token(DEVICES)
    admin.create(body).must_succeed()
    prepare(controller, body, RUNNING, STATUS_REPLACE)

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert LOCKED in emptied.message
    assert RISES in emptied.message
