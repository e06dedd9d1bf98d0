"""What a ConnectionConfiguration says of its slots, what the exchange is to accept then, and how it looks at rest."""

from datetime import datetime
from typing import Any

from tallystick.connections.domain.slots import TIME_TO_STORE

Json = dict[str, Any]


def slots_of(body: Json) -> list[str]:
    return [slot["name"] for slot in body["spec"]["tokens"]]


def tokens_of(body: Json) -> list[Json]:
    found: list[Json] = body.get("status", {}).get("tokens", [])
    return found


def active_of(body: Json) -> list[Json]:
    return [token for token in tokens_of(body) if token["state"] != "Revoked"]


def standing_of(body: Json) -> list[Json]:
    """Whatever somebody may rely on: what is Active; before that, what may be in the Secret already."""
    active = [token for token in active_of(body) if token["state"] == "Active"]
    return active or sorted(active_of(body), key=lambda token: int(token["serial"]))[:1]


def last_serial_of(body: Json) -> int:
    return int(body.get("status", {}).get("lastSerial", 0))


def vacant_of(body: Json) -> list[str]:
    return list(body.get("status", {}).get("vacantSlots", []))


def license_of(body: Json) -> datetime | None:
    end = body["spec"].get("licenseExpiresAt")
    return None if end is None else datetime.fromisoformat(end)


def deleting(body: Json) -> bool:
    return "deletionTimestamp" in body["metadata"]


def acceptable(body: Json | None, now: datetime) -> set[str]:
    """The ids that are good now: alive, in the spec or kept by S7, before both ends, of an object that stays.

    One that is Pending is good to whoever has it from the Secret.
    """
    if body is None or deleting(body):
        return set()
    placed = [token for token in active_of(body) if token["slot"] in slots_of(body)]
    standing = standing_of(body)
    served = any(token in placed for token in standing)
    kept = [] if served else sorted(standing, key=lambda token: int(token["serial"]))[-1:]
    return {token["tokenID"] for token in (*placed, *kept) if not over(body, token, now)}


def over(body: Json, token: Json, now: datetime) -> bool:
    """Whether the licence has ended a token: as the spec has it, or as it is on record."""
    ends = [license_of(body), datetime.fromisoformat(token["notAfter"]) if "notAfter" in token else None]
    return any(end is not None and end <= now for end in ends)


def at_rest(body: Json, now: datetime) -> bool:
    """Whether every slot has what it is to have."""
    live, end = active_of(body), license_of(body)
    if deleting(body):
        return not live
    if end is not None and end <= now:
        return not live and vacant_of(body) == slots_of(body)
    states = {token["state"] for token in live}
    filled = sorted([token["slot"] for token in live] + vacant_of(body)) == sorted(slots_of(body))
    return states == {"Active"} and filled and all(_is_recorded(token, end, now) for token in live)


def _is_recorded(token: Json, end: datetime | None, now: datetime) -> bool:
    """Whether a token has the end that it is to have; one that comes very soon is not moved away any more."""
    recorded = datetime.fromisoformat(token["notAfter"]) if "notAfter" in token else None
    stays = recorded is not None and (end is None or end > recorded) and now + TIME_TO_STORE >= recorded
    return stays or recorded == end


def secret_of_rest(body: Json) -> dict[str, str]:
    """Which id each token in the Secret has at rest, by data key."""
    live = sorted(active_of(body), key=lambda token: int(token["serial"]))
    newest = {"token": live[-1]["tokenID"]} if live else {}
    return newest | {f"token.{token['slot']}": token["tokenID"] for token in live}
