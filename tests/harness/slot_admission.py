"""Which texts refuse a write of a ConnectionConfiguration, written by hand from the CEL of its rules and policies.

Those are in `api/connection_configuration_rules.py` and `admission.py`, for the fields that the slot machine writes.
The real API must answer the same.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.harness.slot_states import active_of, last_serial_of, license_of, slots_of, standing_of, tokens_of, vacant_of

Json = dict[str, Any]

NO_SLOT = "should have at least 1 items"  # the server's own words, beside ours
LIMIT = "cannot generate a new token: 2 of 2 tokens are active; revoke one first"
NOT_UNIQUE = "slot names must be unique"
ONLY_ACTIVE = (
    "cannot revoke the only active token; generate a new token first (add a slot), register it on all instances, "
    "then revoke this one"
)
STILL_REVOKED = "use another slot name, or wait until status.tokens lists no Pending or Active token of this slot"
STILL_REMOVED = "use another slot name, or wait until status.vacantSlots no longer lists this one"
END_NOT_RECORDED = (
    "the previous licenseExpiresAt is not recorded yet; wait until status.tokens[].notAfter shows it, then change it"
)
OUTLIVED = (
    "the remaining token expires within seconds; wait until status.tokens reports it as Revoked, then edit spec.tokens"
)
END_BEFORE_ISSUE = "must not be before the newest token was issued"
IMMUTABLE_TYPE = "deploymentType is immutable: it is part of each token; create a separate ConnectionConfiguration"
OF_EDITS = (
    NO_SLOT,
    LIMIT,
    NOT_UNIQUE,
    ONLY_ACTIVE,
    STILL_REVOKED,
    STILL_REMOVED,
    END_NOT_RECORDED,
    END_BEFORE_ISSUE,
    IMMUTABLE_TYPE,
)
RARELY = (OUTLIVED,)  # it takes an edit in the last seconds of a licence
OF_STATUSES = (
    "status.lastSerial cannot be lowered",
    "at most 2 tokens can be Pending or Active",
    "a serial in status.tokens must not be greater than status.lastSerial",
    "a Revoked token cannot become Active again",
    "a token that was removed from status.tokens cannot be added again",
)


def refusals(before: Json | None, after: Json) -> frozenset[str]:
    """Say which of the texts answer a write; none: it is stored. `before` is None for a create."""
    broken = [*_of_itself(after), *(_of_an_edit(before, after) if before else ())]
    # A policy is asked about what the schema has allowed.
    if before and not broken and _ends_before_issue(before, after):
        return frozenset({END_BEFORE_ISSUE})
    return frozenset(broken)


def _ends_before_issue(before: Json, after: Json) -> bool:
    end = license_of(after)
    issued = [datetime.fromisoformat(token["issuedTime"]) for token in tokens_of(before)]
    return end is not None and end != license_of(before) and any(end < time for time in issued)


def _of_itself(after: Json) -> Iterator[str]:
    names, tokens = slots_of(after), tokens_of(after)
    if not names:
        yield NO_SLOT
    if len(names) > 2:
        yield LIMIT
    if len(set(names)) < len(names):
        yield NOT_UNIQUE
    if len(active_of(after)) > 2:
        yield OF_STATUSES[1]
    if any(token["serial"] > last_serial_of(after) for token in tokens):
        yield OF_STATUSES[2]


def _of_an_edit(before: Json, after: Json) -> Iterator[str]:
    old, new = slots_of(before), slots_of(after)
    live = {token["slot"] for token in active_of(before)}
    standing = {token["slot"] for token in standing_of(before)}
    kept = set(old) & set(new)
    if before["spec"]["deploymentType"] != after["spec"]["deploymentType"]:
        yield IMMUTABLE_TYPE
    if not kept or (old != new and standing and not kept & standing):
        yield ONLY_ACTIVE
    staying = [token for token in active_of(before) if token["slot"] in new]
    if old != new and staying and all(_is_outlived(token, active_of(before)) for token in staying):
        yield OUTLIVED
    if (set(new) - set(old)) & live:
        yield STILL_REVOKED
    if (set(new) - set(old)) & set(vacant_of(before)):
        yield STILL_REMOVED
    end, asked = license_of(before), license_of(after)
    not_earlier = asked is None or (end is not None and asked > end)
    if end is not None and not_earlier and not all(_ends_by(token, end) for token in active_of(before)):
        yield END_NOT_RECORDED
    yield from _of_a_status(before, after)


def _of_a_status(before: Json, after: Json) -> Iterator[str]:
    known = {token["tokenID"]: token for token in tokens_of(before)}
    if last_serial_of(after) < last_serial_of(before):
        yield OF_STATUSES[0]
    if any(known.get(token["tokenID"], token)["state"] == "Revoked" for token in active_of(after)):
        yield OF_STATUSES[3]
    if any(token["tokenID"] not in known and token["serial"] <= last_serial_of(before) for token in tokens_of(after)):
        yield OF_STATUSES[4]


def _is_outlived(token: Json, others: list[Json]) -> bool:
    return "notAfter" in token and not all(_ends_by(other, _end_of(token)) for other in others)


def _ends_by(token: Json, end: datetime) -> bool:
    return "notAfter" in token and _end_of(token) <= end


def _end_of(token: Json) -> datetime:
    return datetime.fromisoformat(token["notAfter"])
