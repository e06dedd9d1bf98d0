"""A ConnectionConfiguration as a state machine: what people do to it, in any order, and what must hold after each step.

The same rules drive two worlds: the pure logic, where the controller takes its steps one by one and may die between
any two (`tests/unit/domain/test_slots_machine.py`), and the real API (`tests/live/test_connection_machine.py`).
What is drawn never depends on a world: the real one answers differently from run to run.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.api.meta import API_VERSION
from tallystick.domain.names import connection_token_id
from tallystick.domain.slots import TIME_TO_STORE
from tallystick.domain.times import rfc3339

Json = dict[str, Any]

NAME = "dc-west"
HOLD = "tests.example/hold"

NO_SLOT = "should have at least 1 items"  # the server's own words, beside ours
LIMIT = "cannot generate a new token: 2 of 2 tokens are active; revoke one first"
NOT_UNIQUE = "slot names must be unique"
ONLY_ACTIVE = (
    "cannot revoke the only active token; generate a new token first (add a slot), register it on all instances, "
    "then revoke this one"
)
STILL_REVOKED = "a slot of this name is still being revoked: wait until it has left status.tokens, or use another name"
STILL_REMOVED = (
    "a slot of this name is still being removed: wait until it has left status.vacantSlots, or use another name"
)
END_NOT_RECORDED = (
    "the end of the licence is still being recorded: wait until status.tokens[].notAfter shows it, then change it"
)
IMMUTABLE_TYPE = "deploymentType is immutable: tokens are tied to it; create a separate ConnectionConfiguration"
OF_EDITS = (NO_SLOT, LIMIT, NOT_UNIQUE, ONLY_ACTIVE, STILL_REVOKED, STILL_REMOVED, END_NOT_RECORDED, IMMUTABLE_TYPE)
OF_STATUSES = (
    "status.lastSerial cannot be lowered",
    "at most 2 tokens may be pending or active",
    "status.tokens cannot run ahead of status.lastSerial",
    "a revoked token never becomes active again",
    "a token that has left status.tokens never comes back",
)
REASONS = {"Manual", "LicenseExpired", "ConfigurationDeleted"}


# The admission, written by hand from the CEL of `api/connection_configuration_rules.py`, for the fields that the
# machine writes. The real API must answer the same.


def refusals(before: Json | None, after: Json) -> frozenset[str]:
    """Say which of the texts answer a write; none: it is stored. `before` is None for a create."""
    broken = [*_of_itself(after), *(_of_an_edit(before, after) if before else ())]
    return frozenset(broken)


def _of_itself(after: Json) -> Iterator[str]:
    names, tokens = slots_of(after), tokens_of(after)
    if not names:
        yield NO_SLOT
    if len(names) > 2:
        yield LIMIT
    if len(set(names)) < len(names):
        yield NOT_UNIQUE
    if len(live_of(after)) > 2:
        yield OF_STATUSES[1]
    if any(token["serial"] > last_serial_of(after) for token in tokens):
        yield OF_STATUSES[2]


def _of_an_edit(before: Json, after: Json) -> Iterator[str]:
    old, new = slots_of(before), slots_of(after)
    live = {token["slot"] for token in live_of(before)}
    standing = {token["slot"] for token in standing_of(before)}
    kept = set(old) & set(new)
    if before["spec"]["deploymentType"] != after["spec"]["deploymentType"]:
        yield IMMUTABLE_TYPE
    if not kept or (old != new and standing and not kept & standing):
        yield ONLY_ACTIVE
    if (set(new) - set(old)) & live:
        yield STILL_REVOKED
    if (set(new) - set(old)) & set(vacant_of(before)):
        yield STILL_REMOVED
    end, asked = license_of(before), license_of(after)
    not_earlier = asked is None or (end is not None and asked > end)
    if end is not None and not_earlier and not all(_ends_by(token, end) for token in live_of(before)):
        yield END_NOT_RECORDED
    yield from _of_a_status(before, after)


def _of_a_status(before: Json, after: Json) -> Iterator[str]:
    known = {token["tokenID"]: token for token in tokens_of(before)}
    if last_serial_of(after) < last_serial_of(before):
        yield OF_STATUSES[0]
    if any(known.get(token["tokenID"], token)["state"] == "Revoked" for token in live_of(after)):
        yield OF_STATUSES[3]
    if any(token["tokenID"] not in known and token["serial"] <= last_serial_of(before) for token in tokens_of(after)):
        yield OF_STATUSES[4]


def _ends_by(token: Json, end: datetime) -> bool:
    return "notAfter" in token and _time(token["notAfter"]) <= end


def slots_of(body: Json) -> list[str]:
    return [slot["name"] for slot in body["spec"]["tokens"]]


def tokens_of(body: Json) -> list[Json]:
    found: list[Json] = body.get("status", {}).get("tokens", [])
    return found


def live_of(body: Json) -> list[Json]:
    return [token for token in tokens_of(body) if token["state"] != "Revoked"]


def standing_of(body: Json) -> list[Json]:
    """Whatever somebody may rely on: what is Active; before that, what may be in the Secret already."""
    return [token for token in live_of(body) if token["state"] == "Active"] or live_of(body)


def last_serial_of(body: Json) -> int:
    return int(body.get("status", {}).get("lastSerial", 0))


def vacant_of(body: Json) -> list[str]:
    return list(body.get("status", {}).get("vacantSlots", []))


def license_of(body: Json) -> datetime | None:
    end = body["spec"].get("licenseExpiresAt")
    return None if end is None else _time(end)


def deleting(body: Json) -> bool:
    return "deletionTimestamp" in body["metadata"]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# What the exchange is to accept, and how an object looks on which the controller has nothing to do.


def acceptable(body: Json | None, now: datetime) -> set[str]:
    """The ids that are good now: alive, in the spec or kept by S7, before both ends, of an object that stays.

    One that is Pending is good to whoever has it from the Secret.
    """
    if body is None or deleting(body):
        return set()
    placed = [token for token in live_of(body) if token["slot"] in slots_of(body)]
    standing = standing_of(body)
    served = any(token in placed for token in standing)
    kept = [] if served else sorted(standing, key=lambda token: int(token["serial"]))[-1:]
    return {token["tokenID"] for token in (*placed, *kept) if not over(body, token, now)}


def over(body: Json, token: Json, now: datetime) -> bool:
    """Whether the licence has ended a token: as the spec has it, or as it is on record."""
    ends = [license_of(body), _time(token["notAfter"]) if "notAfter" in token else None]
    return any(end is not None and end <= now for end in ends)


def at_rest(body: Json, now: datetime) -> bool:
    """Whether every slot has what it is to have."""
    live, end = live_of(body), license_of(body)
    if deleting(body):
        return not live
    if end is not None and end <= now:
        return not live and vacant_of(body) == slots_of(body)
    states = {token["state"] for token in live}
    filled = sorted([token["slot"] for token in live] + vacant_of(body)) == sorted(slots_of(body))
    return states == {"Active"} and filled and all(_is_recorded(token, end, now) for token in live)


def _is_recorded(token: Json, end: datetime | None, now: datetime) -> bool:
    """Whether a token has the end that it is to have; one that comes very soon is not moved away any more."""
    recorded = _time(token["notAfter"]) if "notAfter" in token else None
    stays = recorded is not None and (end is None or end > recorded) and now + TIME_TO_STORE >= recorded
    return stays or recorded == end


def secret_of_rest(body: Json) -> dict[str, str]:
    """Which id each token in the Secret has at rest, by data key."""
    live = sorted(live_of(body), key=lambda token: int(token["serial"]))
    newest = {"token": live[-1]["tokenID"]} if live else {}
    return newest | {f"token.{token['slot']}": token["tokenID"] for token in live}


class History:
    """What was observed of the objects of one name, in order. Whatever breaks a promise raises AssertionError."""

    def __init__(self) -> None:
        self.made: dict[str, Json] = {}
        self.ended: set[str] = set()
        self.refused: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.good: set[str] = set()
        self._before: Json | None = None

    def observe(self, body: Json | None, now: datetime) -> None:
        """Compare what is on record with what was."""
        before = self._before
        if before is not None and (body is None or body["metadata"]["uid"] != before["metadata"]["uid"]):
            self.ended |= {token["tokenID"] for token in tokens_of(before)}  # S24: for ever
            before = None
        if body is not None:
            self._bounds(body)
            self._compare(before, body, now)
        self._before = copy.deepcopy(body)

    def hear(self, answers: Mapping[str, str]) -> set[str]:
        """Take in what the exchange says to each id, "good", "pending" or "refused", and return those that are good."""
        good = {token_id for token_id, answer in answers.items() if answer == "good"}
        assert not good & self.refused, "what was refused once is good again"
        self.refused |= {token_id for token_id, answer in answers.items() if answer == "refused"}
        return good

    def judge(self, body: Json | None, now: datetime, good: set[str]) -> None:
        """Compare what is good with what was: nobody is locked out."""
        if self.good and not good and body is not None and not deleting(body):
            lost = [token for token in tokens_of(body) if token["tokenID"] in self.good]
            assert all(over(body, token, now) for token in lost), "R31: one stays good while the licence lasts"
        self.good = good

    def _bounds(self, body: Json) -> None:
        tokens, live = tokens_of(body), live_of(body)
        assert len(live) <= 2, "R24"
        assert len({token["slot"] for token in live}) == len(live), "a slot has one token"
        assert len(tokens) - len(live) <= 3, "R33"
        assert len({token["serial"] for token in tokens}) == len(tokens)
        assert all(token["serial"] <= last_serial_of(body) for token in tokens)
        for token in tokens:
            revoked = token["state"] == "Revoked"
            assert token["state"] in {"Pending", "Active", "Revoked"}
            assert ("revokedTime" in token, token.get("reason") in REASONS) == (revoked, revoked), "R37"

    def _compare(self, before: Json | None, body: Json, now: datetime) -> None:
        known = {token["tokenID"]: token for token in tokens_of(before)} if before else {}
        last = last_serial_of(before) if before else 0
        assert last_serial_of(body) >= last
        for token in tokens_of(body):
            token_id, was = token["tokenID"], known.get(token["tokenID"])
            if was is None:
                assert token_id not in self.made, "R33: what has left the record never comes back"
                assert token["serial"] > last, "serials rise"
                assert token_id == connection_token_id(body["metadata"]["uid"], token["slot"], token["serial"])
                self.made[token_id] = _identity(body, token)
            assert _identity(body, token) == self.made[token_id], "what a token says is settled when it is planned"
            if token["state"] == "Revoked":
                self._ended(was, token, body, now)
            else:
                assert token_id not in self.ended, "revoked is for ever"
                assert was is None or was["state"] in {"Pending", token["state"]}, "Active does not go back"
        if before is not None:
            self._renewed(before, body)
        there = {token["tokenID"] for token in tokens_of(body)}
        gone = [token for token in known.values() if token["tokenID"] not in there]
        self.ended |= {token["tokenID"] for token in gone}
        # Of four that are revoked in the same second, three are shown.
        shown = len(tokens_of(body)) - len(live_of(body))
        assert shown == 3 or all(token["state"] == "Revoked" for token in gone), "what is alive stays on record"

    def _renewed(self, before: Json, body: Json) -> None:
        """R35: what ended with a licence comes back as one token; the other slots wait for an edit."""
        known = {token["tokenID"] for token in tokens_of(before)}
        new = {token["slot"] for token in tokens_of(body) if token["tokenID"] not in known}
        left = known & {token["tokenID"] for token in live_of(body)}
        over_now = [
            token
            for token in tokens_of(body)
            if token.get("reason") == "LicenseExpired" and token["tokenID"] in {t["tokenID"] for t in live_of(before)}
        ]
        if not left and (over_now or vacant_of(before)):
            assert len(new) <= 1, "R35: a renewal issues one token"
        else:
            assert not new & set(vacant_of(before)) & set(slots_of(before)), "a vacant slot stays so"

    def _ended(self, was: Json | None, token: Json, body: Json, now: datetime) -> None:
        if token["tokenID"] in self.ended:
            assert was is not None
            assert (was["reason"], was["revokedTime"]) == (token["reason"], token["revokedTime"])
            return
        true = {
            "Manual": token["slot"] not in slots_of(body),
            "LicenseExpired": over(body, token, now),
            "ConfigurationDeleted": deleting(body),
        }
        assert true[token["reason"]], f"R34-R36: {token['reason']} is not the reason"
        self.ended.add(token["tokenID"])
        self.reasons[token["reason"]] += 1


def _identity(body: Json, token: Json) -> Json:
    said = {name: token[name] for name in ("slot", "serial", "tokenID", "kid", "claimsDigest", "issuedTime")}
    return {"uid": body["metadata"]["uid"], **said}


@dataclass(frozen=True, slots=True)
class Rest:
    """What there is when the controller has nothing to do; `held` is the id of each token in the Secret, by key."""

    body: Json | None
    held: Mapping[str, str]
    time: datetime

    def is_as_it_should_be(self) -> bool:
        """Whether every slot has what it is to have, and the Secret holds that and nothing else."""
        if self.body is None:
            return True
        untouched = deleting(self.body) or not last_serial_of(self.body)
        return at_rest(self.body, self.time) and (untouched or dict(self.held) == secret_of_rest(self.body))


class World(Protocol):
    """Where a machine runs. The texts that refuse a write are those of `refusals`."""

    def now(self) -> datetime: ...

    def pass_time(self, seconds: float) -> None: ...

    def read(self) -> Json | None: ...

    def create(self, body: Json) -> frozenset[str]: ...

    def write(self, body: Json) -> frozenset[str] | None:
        """Store the object over the version that it names; None: somebody was faster."""

    def delete(self, *, hold: bool) -> None:
        """Delete the object; with `hold` a finalizer of somebody else keeps it."""

    def release(self) -> None: ...

    def rest(self) -> "Rest":
        """Let the controller do all that it has to do."""


NAMES = st.sampled_from("abc")
PLACES = st.integers(0, 2)
# Seldom enough for an object to live through something.
DELETED_EVERY = 5
SECONDS = st.sampled_from([600, 3600, 30, 5, 1, 0, -30])


class SlotMachine(RuleBasedStateMachine):
    """What people do. A world is put in by a subclass, which also says when to check what the exchange accepts."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.history = History()
        self.git: list[Json] = []
        self.age = 0

    @initialize(names=st.lists(NAMES, min_size=1, max_size=2, unique=True), licensed=st.booleans())
    def apply(self, names: list[str], licensed: bool) -> None:
        spec: Json = {"deploymentType": "Kubernetes", "tokens": _slots(names)}
        self._create({**spec, "licenseExpiresAt": self._after_now(600)} if licensed else spec)

    # `first`: the controller has done all that was asked for before.

    @rule(name=NAMES, front=st.booleans(), first=st.booleans())
    def generate(self, name: str, front: bool, first: bool) -> None:
        self._rested(first)
        self._edit_slots(lambda names: [name, *names] if front else [*names, name])

    @rule(place=PLACES, first=st.booleans())
    def revoke(self, place: int, first: bool) -> None:
        self._rested(first)
        self._edit_slots(lambda names: _without(names, place))

    @rule(place=PLACES, name=NAMES, front=st.booleans(), first=st.booleans())
    def revoke_one_and_generate_another(self, place: int, name: str, front: bool, first: bool) -> None:
        self._rested(first)
        self._edit_slots(lambda names: [name, *_without(names, place)] if front else [*_without(names, place), name])

    @rule(place=PLACES, first=st.booleans())
    def take_a_revocation_back(self, place: int, first: bool) -> None:
        """S9: faster than the controller, this would lose it."""
        self._rested(first)
        body = self.world.read()
        names = slots_of(body) if body else []
        self._edit_slots(lambda _: _without(names, place) or ["a"])
        self._edit_slots(lambda _: names or ["a"])

    @rule(names=st.lists(NAMES, min_size=1, max_size=3))
    def write_slots(self, names: list[str]) -> None:
        self._edit_slots(lambda _: names)

    @rule(seconds=SECONDS)
    def set_the_license_from_now(self, seconds: int) -> None:
        self._edit(lambda spec: {**spec, "licenseExpiresAt": self._after_now(seconds)})

    @rule(seconds=SECONDS)
    def move_the_license(self, seconds: int) -> None:
        def moved(spec: Json) -> Json:
            end = spec.get("licenseExpiresAt")
            return {**spec, "licenseExpiresAt": rfc3339(_time(end) + timedelta(seconds=seconds))} if end else spec

        self._edit(moved)

    @rule()
    def remove_the_license(self) -> None:
        self._edit(lambda spec: {name: value for name, value in spec.items() if name != "licenseExpiresAt"})

    @rule(back=st.integers(0, 8))
    def apply_an_older_spec(self, back: int) -> None:
        self._edit(lambda _: copy.deepcopy(self.git[-1 - back % len(self.git)]))

    @rule(proxy=st.booleans(), note=st.sampled_from(["", "x"]))
    def edit_something_else(self, proxy: bool, note: str) -> None:
        used_in = "ReverseProxy" if proxy else "Kubernetes"
        self._edit(lambda spec: {**spec, "deploymentType": used_in, "description": note})

    @rule(seconds=st.sampled_from([1, 5, 60, 600]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule(seconds=st.sampled_from([0, -1, 1]))
    def let_time_pass_until_the_license_ends(self, seconds: int) -> None:
        body = self.world.read()
        end = license_of(body) if body else None
        if end is not None:
            self.world.pass_time(max(0.0, (end - self.world.now()).total_seconds() + seconds))

    @precondition(lambda self: self.age % DELETED_EVERY == DELETED_EVERY - 1)
    @rule(hold=st.booleans())
    def delete(self, hold: bool) -> None:
        if self.world.read() is not None:
            self.world.delete(hold=hold)
            self.counts["deletions"] += 1

    @rule()
    def let_go_of_what_is_being_deleted(self) -> None:
        body = self.world.read()
        if body is not None and deleting(body):
            self.world.release()

    @rule()
    def let_the_controller_rest(self) -> None:
        rest = self.world.rest()
        self.history.observe(rest.body, rest.time)
        assert rest.is_as_it_should_be()
        self.counts["rests"] += 1

    @invariant()
    def every_promise_is_kept(self) -> None:
        body = self.world.read()
        self.history.observe(body, self.world.now())
        self.judge(body)
        self.age += 1
        self.counts["steps"] += 1

    def judge(self, body: Json | None) -> None:
        """Ask the exchange about every token that was ever made, and hold the answers against it."""
        raise NotImplementedError

    def _rested(self, first: bool) -> None:
        if first:
            self.let_the_controller_rest()

    def _edit_slots(self, change: Callable[[list[str]], list[str]]) -> None:
        def changed(spec: Json) -> Json:
            return {**spec, "tokens": _slots(change([slot["name"] for slot in spec["tokens"]]))}

        self._edit(changed)

    def _edit(self, change: Callable[[Json], Json]) -> None:
        """Write the spec anew, as it follows from the one that is there; the answer is the one that is expected."""
        told: frozenset[str] | None = None
        while told is None:
            before = self.world.read()
            if before is None:
                return self._create(self.git[-1])  # as whoever keeps it in Git does
            self.history.observe(before, self.world.now())
            after = {**before, "spec": change(copy.deepcopy(before["spec"]))}
            told = self.world.write(after)
        expected = refusals(before, after)
        assert told == expected, f"told {sorted(told)}, not {sorted(expected)}, of {after['spec']}"
        self.counts.update(told or ["edits"])
        if not told:
            self.git.append(after["spec"])
        return None

    def _create(self, spec: Json) -> None:
        body = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": {"name": NAME}, "spec": spec}
        assert self.world.create(body) == refusals(None, body) == frozenset()
        self.git.append(spec)
        self.counts["objects"] += 1

    def _after_now(self, seconds: int) -> str:
        return rfc3339(self.world.now() + timedelta(seconds=seconds))


def figures(counts: Mapping[str, int], reasons: Mapping[str, int]) -> str:
    """Say what a machine has been through, with how often each text refused an edit."""
    words = ("objects", "steps", "edits", "rests", "deletions")
    refused = ", ".join(f"{counts.get(text, 0)} '{text[:28]}...'" for text in OF_EDITS)
    ended = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{', '.join(f'{counts.get(word, 0)} {word}' for word in words)}; revoked: {ended}; refused: {refused}"


def _slots(names: Iterable[str]) -> list[Json]:
    return [{"name": name} for name in names]


def _without(names: list[str], place: int) -> list[str]:
    return [name for number, name in enumerate(names) if number != place % max(1, len(names))]
