"""The table of rules of TokenRotation: what is refused with which text, and what is allowed."""

from typing import Any

from tallystick.fleet.api.token_rotation import TokenRotation
from tests.harness.rule_cases import Allowed, Refused
from tests.harness.rule_tables import RuleTable

Json = dict[str, Any]

NOON = "2030-01-01T12:00:00Z"
A_DEVICE = "d-" + "a" * 26

LEAST: Json = {"targetRef": {"kind": "PairingToken", "name": "cams"}}
COMPROMISED: Json = LEAST | {"reason": "Compromised"}
AT_ONCE: Json = COMPROMISED | {"oldToken": "RevokeImmediately"}
CANARY: Json = {"name": "canary", "selector": {"matchLabels": {"stage": "canary"}}}
TENTH: Json = {"name": "tenth", "limit": "10%"}
WINDOW: Json = {"schedule": "0 2 * * 6", "duration": "4h"}

NEITHER = "a batch needs a selector, a limit or both"
OWN_NAME = "each batch needs a name of its own"
ONLY_COMPROMISED = "oldToken: RevokeImmediately is for reason: Compromised"
NO_WAIT = "oldToken: RevokeImmediately allows no openBatches, batches, maxConcurrency or windows"
DRAWN = "strategy.batches is immutable: batches are drawn when the rotation starts"
ENDED = "an aborted rotation cannot be resumed; create a new TokenRotation"
OPENED = "openBatches cannot be lowered; set desiredState: Paused to stop"
SUM = "the counts must sum to the total"
RECORD = "a finished rotation is a record: its state and its counts cannot change"


def strategy(**members: Any) -> Json:
    return LEAST | {"strategy": members}


def batches(*listed: Json) -> Json:
    return strategy(batches=list(listed))


LENGTHS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("minSuccessTime", ("168h1s", "999999h"), "minSuccessTime must be between 0s and 168h"),
    ("inProgressTimeout", ("29s", "0s", "168h1s"), "inProgressTimeout must be between 30s and 168h"),
    ("deadline", ("9m59s", "8760h1s", "99999999h"), "deadline must be between 10m and 8760h"),
)
CREATE_REFUSED = [
    Refused("a batch of neither", {}, batches({"name": "all"}), NEITHER),
    Refused("two batches of one name", {}, batches(TENTH, CANARY, TENTH), OWN_NAME),
    *(
        Refused(f"{field} {value}", {}, strategy(**{field: value}), text)
        for field, values, text in LENGTHS
        for value in values
    ),
    *(
        Refused(
            f"a window of {value}",
            {},
            strategy(windows=[WINDOW | {"duration": value}]),
            "duration must be between 1m and 168h",
        )
        for value in ("59s", "168h1s")
    ),
    Refused("revoked at once as a routine", {}, LEAST | {"oldToken": "RevokeImmediately"}, ONLY_COMPROMISED),
    Refused("revoked at once with openBatches", {}, AT_ONCE | {"openBatches": 1}, NO_WAIT),
    *(
        Refused(f"revoked at once with {next(iter(member))}", {}, AT_ONCE | {"strategy": member}, NO_WAIT)
        for member in ({"batches": [TENTH]}, {"maxConcurrency": 5}, {"windows": [WINDOW]})
    ),
]
SCHEMA_REFUSED = [
    Refused("no target", {}, {}, "spec.targetRef: Required value"),
    *(
        Refused(f"a target {str(value)[:40]}", {}, {"targetRef": value}, f"spec.targetRef.{member}")
        for value, member in (
            ({"name": "cams"}, "kind"),
            ({"kind": "PairingToken"}, "name"),
            ({"kind": "ConnectionConfiguration", "name": "cams"}, "kind"),
            ({"kind": "PairingToken", "name": ""}, "name"),
            ({"kind": "PairingToken", "name": "x" * 64}, "name"),
        )
    ),
    *(
        Refused(f"{field} {value!r}", {}, LEAST | {field: value}, f"spec.{field}")
        for field, value in (
            ("reason", "Boredom"),
            ("oldToken", "Keep"),
            ("desiredState", "Stopped"),
            ("openBatches", 0),
            ("openBatches", 22),
        )
    ),
    *(
        Refused(f"{field} {value!r}", {}, strategy(**{field: value}), f"spec.strategy.{field}")
        for field, values in (
            ("successThreshold", ("101%", "-1%", "90", "00%", "9.5%")),
            ("maxConcurrency", (0, -1, 1_000_001, "0%", "101%", "5", "10 %")),
            ("maxFailures", (-1, 1_000_001, "101%", "5", "%")),
            ("minSuccessTime", ("1d", "", "10")),
        )
        for value in values
    ),
    Refused("21 batches", {}, batches(*(TENTH | {"name": f"b-{n}"} for n in range(21))), "must have at most 20 items"),
    Refused("9 windows", {}, strategy(windows=[WINDOW] * 9), "must have at most 8 items"),
    *(
        Refused(f"a limit of {limit!r}", {}, batches(TENTH | {"limit": limit}), "spec.strategy.batches[0].limit")
        for limit in (0, "0%", "101%", "5")
    ),
    Refused("a selector of nothing", {}, batches({"name": "a", "selector": {}}), "matchLabels: Required value"),
    Refused(
        "a selector of no label",
        {},
        batches({"name": "a", "selector": {"matchLabels": {}}}),
        "should have at least 1 properties",
    ),
    Refused("a batch of no name", {}, batches({"limit": 5}), "spec.strategy.batches[0].name: Required value"),
    Refused("a window of no schedule", {}, strategy(windows=[{"duration": "4h"}]), "schedule: Required value"),
]
CREATE_ALLOWED = [
    Allowed("the least", {}, LEAST),
    Allowed("aborted from Git", {}, LEAST | {"desiredState": "Aborted"}),
    Allowed("a gate", {}, LEAST | {"openBatches": 1} | batches(CANARY, TENTH)),
    Allowed("twenty batches", {}, batches(*(TENTH | {"name": f"b-{n}", "limit": n + 1} for n in range(20)))),
    Allowed("a batch of both", {}, batches(CANARY | {"limit": 1})),
    Allowed("compromised", {}, COMPROMISED | {"strategy": {"batches": [CANARY]}}),
    Allowed("revoked at once", {}, AT_ONCE | {"strategy": {"deadline": "24h", "maxFailures": 0}}),
    *(
        Allowed(f"{field} {value!r}", {}, strategy(**{field: value}))
        for field, values in (
            ("successThreshold", ("0%", "9%", "100%")),
            ("maxConcurrency", (1, 1_000_000, "1%", "100%")),
            ("maxFailures", (0, "0%", "100%")),
            ("minSuccessTime", ("0s", "168h")),
            ("inProgressTimeout", ("30s", "168h")),
            ("deadline", ("10m", "8760h")),
            ("windows", ([WINDOW | {"timeZone": "Europe/Berlin"}],)),
        )
        for value in values
    ),
]
EDIT_REFUSED = [
    Refused(
        "another target",
        LEAST,
        {"targetRef": {"kind": "PairingToken", "name": "other"}},
        "targetRef is immutable",
    ),
    Refused("another reason", LEAST, COMPROMISED, "reason is immutable"),
    Refused("the reason unset", COMPROMISED, LEAST, "reason is immutable"),
    Refused("another end of the old token", COMPROMISED, AT_ONCE, "oldToken is immutable"),
    Refused("the end of the old token unset", AT_ONCE, COMPROMISED, "oldToken is immutable"),
    Refused("batches set", LEAST, batches(TENTH), DRAWN),
    Refused("batches unset", batches(TENTH), strategy(), DRAWN),
    Refused("the strategy unset", batches(TENTH), LEAST, DRAWN),
    Refused("a batch added", batches(CANARY), batches(CANARY, TENTH), DRAWN),
    Refused("a batch removed", batches(CANARY, TENTH), batches(CANARY), DRAWN),
    Refused("batches reordered", batches(CANARY, TENTH), batches(TENTH, CANARY), DRAWN),
    Refused("a limit changed", batches(TENTH), batches(TENTH | {"limit": "20%"}), DRAWN),
    Refused("resumed", LEAST | {"desiredState": "Aborted"}, LEAST | {"desiredState": "Running"}, ENDED),
    Refused("paused after an abort", LEAST | {"desiredState": "Aborted"}, LEAST | {"desiredState": "Paused"}, ENDED),
    Refused("back to the default", LEAST | {"desiredState": "Aborted"}, LEAST, ENDED),
    Refused("a batch closed", LEAST | {"openBatches": 2}, LEAST | {"openBatches": 1}, OPENED),
    Refused("a gate added", LEAST, LEAST | {"openBatches": 21}, OPENED),
    Refused("a bad timeout", LEAST, strategy(inProgressTimeout="1s"), "inProgressTimeout must be between"),
]
EDIT_ALLOWED = [
    Allowed("nothing", LEAST, LEAST),
    Allowed("paused", LEAST, LEAST | {"desiredState": "Paused"}),
    Allowed("resumed", LEAST | {"desiredState": "Paused"}, LEAST | {"desiredState": "Running"}),
    Allowed("resumed by the default", LEAST | {"desiredState": "Paused"}, LEAST),
    Allowed("aborted", LEAST | {"desiredState": "Paused"}, LEAST | {"desiredState": "Aborted"}),
    Allowed("a batch opened", LEAST | {"openBatches": 1}, LEAST | {"openBatches": 2}),
    Allowed("the gate removed", LEAST | {"openBatches": 1}, LEAST),
    Allowed("more failures", batches(TENTH), strategy(batches=[TENTH], maxFailures="20%")),
    Allowed("fewer at a time", strategy(maxConcurrency=5), strategy(maxConcurrency="1%")),
    Allowed("no bound any more", strategy(maxConcurrency=5), strategy(deadline="10m")),
    Allowed("a window added", strategy(windows=[WINDOW]), strategy(windows=[WINDOW, WINDOW])),
    Allowed("a window removed", strategy(windows=[WINDOW, WINDOW]), strategy(windows=[WINDOW])),
    Allowed("a window moved", strategy(windows=[WINDOW]), strategy(windows=[WINDOW | {"duration": "1h"}])),
    Allowed("the strategy unset", strategy(deadline="10m"), LEAST),
]


def counts(total: int, **numbers: int) -> Json:
    zero = dict.fromkeys(("pending", "inProgress", "succeeded", "failed", "noRotation"), 0)
    return {"devices": {"total": total} | zero | numbers}


RUNNING: Json = {"state": "Running"} | counts(3, pending=2, inProgress=1)
DONE: Json = {"state": "Succeeded"} | counts(3, succeeded=3)

STATUS_REFUSED = [
    *(
        Refused(f"{total} of {numbers}", {}, counts(total, **numbers), SUM)
        for total, numbers in (
            (1, {}),
            (0, {"pending": 1}),
            (3, {"pending": 1, "inProgress": 1}),
            (3, {"succeeded": 3, "failed": 1}),
            (2, {"noRotation": 1}),
        )
    ),
    Refused("a sum that is right no more", RUNNING, RUNNING | counts(3, pending=2, inProgress=2), SUM),
    *(
        Refused(f"{final} to {state}", DONE | {"state": final}, DONE | {"state": state}, RECORD)
        for final, state in (
            ("Succeeded", "Running"),
            ("Failed", "Succeeded"),
            ("Aborted", "Running"),
            ("Aborted", "Failed"),
        )
    ),
    Refused("a record without its state", DONE, counts(3, succeeded=3), RECORD),
    Refused("a record without its counts", DONE, {"state": "Succeeded"}, RECORD),
    Refused("other counts", DONE, DONE | counts(3, succeeded=2, failed=1), RECORD),
    Refused("counts of a record that had none", {"state": "Failed"}, {"state": "Failed"} | counts(0), RECORD),
    Refused("an unknown state", {}, {"state": "Rolling"}, "status.state: Unsupported value"),
    *(
        Refused(f"batch {batch!r}", {}, {"batch": batch}, "status.batch")
        for batch in ("", "2", "2/", "2 of 3", "100/100")
    ),
    Refused("an open batch 22", {}, {"open": {"batch": 22}}, "status.open.batch"),
    Refused("open through nobody", {}, {"open": {"batch": 1, "through": "cam-17"}}, "status.open.through"),
    Refused(
        "21 failed devices",
        {},
        {"failedDevices": [{"name": A_DEVICE, "reason": "DiskFull", "time": NOON}] * 21},
        "status.failedDevices: Too many",
    ),
]
STATUS_ALLOWED = [
    Allowed("pending", {}, {"state": "Pending"}),
    Allowed("running", {"state": "Pending"}, RUNNING | {"generation": 2, "startTime": NOON, "batch": "1/1"}),
    Allowed("a device finishes", RUNNING, RUNNING | counts(3, pending=2, succeeded=1)),
    Allowed("halted and running again", RUNNING | {"state": "Halted"}, RUNNING),
    Allowed("finished", RUNNING, DONE | {"finishTime": NOON}),
    Allowed("failed without counts", {"state": "Pending"}, {"state": "Failed"}),
    Allowed("a record, reconciled again", DONE, DONE | {"observedGeneration": 2}),
    Allowed("aborted", RUNNING, {"state": "Aborted"} | counts(3, succeeded=1, noRotation=2)),
    Allowed(
        "batches and a gate",
        {},
        RUNNING
        | {
            "open": {"batch": 2, "through": A_DEVICE, "until": NOON},
            "batches": [
                {"name": "canary", "total": 1, "pending": 0, "inProgress": 0, "succeeded": 1, "failed": 0},
                {"name": "rest", "total": 2, "pending": 1, "inProgress": 1, "succeeded": 0, "failed": 0},
            ],
            "failedDevices": [{"name": A_DEVICE, "reason": "DiskFull", "message": "no space left", "time": NOON}],
        },
    ),
]

STRATEGY = {"successThreshold": "90%", "minSuccessTime": "0s", "maxFailures": "10%", "inProgressTimeout": "5m"}


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    strategy = STRATEGY | spec.get("strategy", {})
    if "windows" in strategy:
        strategy["windows"] = [{"timeZone": "UTC"} | window for window in strategy["windows"]]
    base = {"reason": "Routine", "oldToken": "RevokeWhenProved", "desiredState": "Running"}
    return base | spec | {"strategy": strategy}


TOKEN_ROTATION = RuleTable(
    model=TokenRotation,
    least=LEAST,
    under_status=LEAST,
    defaulted=defaulted,
    create_refused=CREATE_REFUSED,
    schema_refused=SCHEMA_REFUSED,
    create_allowed=CREATE_ALLOWED,
    edit_refused=EDIT_REFUSED,
    edit_allowed=EDIT_ALLOWED,
    status_refused=STATUS_REFUSED,
    status_allowed=STATUS_ALLOWED,
)
