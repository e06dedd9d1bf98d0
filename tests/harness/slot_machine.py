"""A ConnectionConfiguration as a state machine: what people do to it, in any order, and what must hold after each step.

The same rules drive two worlds: the pure logic, where the controller takes its steps one by one and may die between
any two (`tests/unit/connections/domain/test_slots_machine.py`), and the real API
(`tests/live/connections/test_connection_machine.py`).
What is drawn never depends on a world: the real one answers differently from run to run.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tests.harness.slot_admission import OF_EDITS, refusals
from tests.harness.slot_history import History
from tests.harness.slot_states import at_rest, deleting, last_serial_of, license_of, secret_of_rest, slots_of

Json = dict[str, Any]

NAME = "dc-west"
HOLD = "tests.example/hold"


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
            return (
                {**spec, "licenseExpiresAt": rfc3339(datetime.fromisoformat(end) + timedelta(seconds=seconds))}
                if end
                else spec
            )

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
        reported: frozenset[str] | None = None
        while reported is None:
            before = self.world.read()
            if before is None:
                return self._create(self.git[-1])  # as whoever keeps it in Git does
            self.history.observe(before, self.world.now())
            after = {**before, "spec": change(copy.deepcopy(before["spec"]))}
            reported = self.world.write(after)
        expected = refusals(before, after)
        assert reported == expected, f"told {sorted(reported)}, not {sorted(expected)}, of {after['spec']}"
        self.counts.update(reported or ["edits"])
        if not reported:
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
