"""Any sequence of edits, of time and of the controller's steps keeps the promises of the slots (R24, R31, R33-R37, S7).

The controller is taken apart: it looks, it takes the one step that `next_step` says, by a conditional write, and it
may die between any two. An old leader that wakes up has looked long ago.
"""

import base64
import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import seed as seeded
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tallystick.connections.api.connection_configuration import ConnectionConfiguration, ConnectionTokenState
from tallystick.connections.domain import next_step as connections
from tallystick.connections.domain.next_step import next_step
from tallystick.connections.domain.secret import connection_secret
from tallystick.connections.domain.slots import active_tokens, new_tokens, on_record, plan, unrevoked_tokens
from tallystick.connections.domain.tokens import CONNECTION_SECRET
from tallystick.connections.domain.validity import why_connection_invalid
from tallystick.objects.held_secrets import HeldSecret, content_digest
from tallystick.schema.times import rfc3339
from tests.builders import ISSUER
from tests.fakes import NOON, CountingIds
from tests.harness.fuzzing import seed_of
from tests.harness.proofs import Figure
from tests.harness.slot_admission import OF_EDITS, OUTLIVED, refusals
from tests.harness.slot_history import REASONS
from tests.harness.slot_machine import Rest, SlotMachine, figures
from tests.harness.slot_states import acceptable, active_of, deleting

Json = dict[str, Any]

FORMS = {"ConnectionConfiguration": CONNECTION_SECRET}
STEPS = 50
# RecordPlan, Secret, activate, and the look that finds nothing more; one more where a Secret was there.
MOST_LOOKS = 5


@dataclass
class PureWorld:
    """One object and its Secret, as an API server would keep them, and what two leaders have seen of the object."""

    time: datetime = NOON
    body: Json | None = None
    secret: Json | None = None
    put: set[str] = field(default_factory=set)
    seen: dict[int, Json] = field(default_factory=dict)
    uids: CountingIds = field(default_factory=CountingIds)
    version: int = 0

    def now(self) -> datetime:
        return self.time

    def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def read(self) -> Json | None:
        return copy.deepcopy(self.body)

    def create(self, body: Json) -> frozenset[str]:
        if reported := refusals(None, body):
            return reported
        metadata = {**body["metadata"], "namespace": "edge", "uid": self.uids.new(), "generation": 1}
        self._store({**body, "metadata": metadata})
        return frozenset()

    def write(self, body: Json) -> frozenset[str] | None:
        if reported := refusals(self.body, body):
            return reported
        self._store(body)
        return frozenset()

    def delete(self, *, hold: bool) -> None:
        assert self.body is not None
        if not hold and not deleting(self.body):
            self._remove()
        elif not deleting(self.body):
            self._store({**self.body, "metadata": {**self.body["metadata"], "deletionTimestamp": rfc3339(self.time)}})

    def release(self) -> None:
        self._remove()

    def rest(self) -> Rest:
        for _ in range(MOST_LOOKS):
            self.look(0)
            if 0 not in self.seen or isinstance(self.step(0), connections.Done):
                return Rest(self.read(), self.held(), self.time)
        raise AssertionError("the controller does not come to rest")

    def held(self) -> Mapping[str, str]:
        data = self.secret["data"] if self.secret else {}
        texts = {key: base64.b64decode(value).decode() for key, value in data.items()}
        return {key: text.removeprefix("signed ") for key, text in texts.items() if text.startswith("signed ")}

    # The controller, as services/connection_configurations.py has it.

    def look(self, leader: int) -> None:
        self.seen.pop(leader, None)
        if self.body is not None:
            self.seen[leader] = copy.deepcopy(self.body)

    def step(self, leader: int) -> connections.Step:
        """Take the next step by what was seen. A write that comes too late is refused, and is no step at all."""
        raw = self.seen[leader]
        configuration = ConnectionConfiguration.model_validate(raw)
        step = self._next(configuration)
        match step:
            case connections.RecordPlan(planned):
                new = new_tokens(configuration, planned.issue, key_id="k1", issuer=ISSUER, now=self.time)
                changes = {
                    "tokens": on_record((*planned.tokens, *new)),
                    "vacant_slots": list(planned.vacant),
                    "last_serial": new[-1].serial if new else configuration.status.last_serial,
                }
                self._write_status(leader, configuration, changes)
            case connections.WriteSecret():
                self._write_secret(leader, configuration)
            case connections.RemoveSecret():
                self.secret = None
            case connections.Activate():
                active = {"state": ConnectionTokenState.ACTIVE}
                live = unrevoked_tokens(configuration)
                tokens = [t.model_copy(update=active) if t in live else t for t in configuration.status.tokens]
                self._write_status(leader, configuration, {"tokens": tokens})
        return step

    def _next(self, configuration: ConnectionConfiguration) -> connections.Step:
        secret = HeldSecret.from_body(self.secret, FORMS) if self.secret else None
        expected = content_digest(self._wanted(configuration))
        return next_step(connections.Input(configuration, plan(configuration, self.time), secret, expected))

    def _wanted(self, configuration: ConnectionConfiguration) -> Json:
        signed = {token.token_id: f"signed {token.token_id}" for token in unrevoked_tokens(configuration)}
        return connection_secret(configuration, signed, base_url=ISSUER, ca_pem=None)

    def _write_secret(self, leader: int, configuration: ConnectionConfiguration) -> None:
        if unrevoked_tokens(configuration) == active_tokens(configuration):
            self.look(leader)  # S22: before healing
            if leader not in self.seen:
                return
            configuration = ConnectionConfiguration.model_validate(self.seen[leader])
            if not isinstance(self._next(configuration), connections.WriteSecret):
                return
        wanted = self._wanted(configuration)
        wanted["metadata"] |= {"uid": "s1", "resourceVersion": "1"}
        self.secret = wanted if self.body is not None else None  # without its owner it is garbage
        self.put |= set(self.held().values())

    def _write_status(self, leader: int, configuration: ConnectionConfiguration, changes: Json) -> None:
        raw = self.seen.pop(leader)
        if self.body is None or raw["metadata"] != self.body["metadata"]:
            return
        status = configuration.status.model_copy(update=changes)
        after = {**raw, "status": status.to_json()}
        assert refusals(raw, after) == frozenset(), "the controller's own writes are never refused"
        self._store(after)
        self.seen[leader] = copy.deepcopy(self.body)

    def _store(self, body: Json) -> None:
        self.version += 1
        self.body = copy.deepcopy(body)
        self.body["metadata"]["resourceVersion"] = str(self.version)

    def _remove(self) -> None:
        self.body = self.secret = None


class PureMachine(SlotMachine):
    """Between what people do, the controller takes a step, dies, or an old leader wakes up."""

    counts: ClassVar[Counter[str]] = Counter()
    reasons: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.pure = PureWorld()
        super().__init__(self.pure)

    @rule(leader=st.integers(0, 1))
    def look(self, leader: int) -> None:
        self.pure.look(leader)

    @rule(leader=st.integers(0, 1))
    def take_a_step(self, leader: int) -> None:
        if leader in self.pure.seen:
            self.counts[type(self.pure.step(leader)).__name__] += 1

    @rule(leader=st.integers(0, 1), steps=st.integers(1, 4))
    def look_take_steps_and_die(self, leader: int, steps: int) -> None:
        for _ in range(steps):
            self.look(leader)
            self.take_a_step(leader)
        self.pure.seen.pop(leader, None)

    @rule()
    def lose_the_secret(self) -> None:
        self.pure.secret = None

    def judge(self, body: Json | None) -> None:
        """The exchange accepts what is good and nothing else, at every instant."""
        now = self.pure.now()
        # Nobody has what was never in the Secret.
        answers = {token_id: self._answer(token_id, body) for token_id in self.history.made.keys() & self.pure.put}
        good = self.history.hear(answers)
        self.history.judge(body, now, good)
        assert good == acceptable(body, now) & self.pure.put
        active = {token["tokenID"] for token in active_of(body) if token["state"] == "Active"} if body else set()
        assert active <= self.pure.put, "what is Active has been in the Secret"

    def _answer(self, token_id: str, body: Json | None) -> str:
        """What the exchange says to a token that once was in the Secret."""
        made = self.history.made[token_id]
        if body is None:
            return "refused"
        why = why_connection_invalid(
            ConnectionConfiguration.model_validate(body),
            uid=made["uid"],
            serial=made["serial"],
            token_id=token_id,
            now=self.pure.now(),
        )
        return "refused" if why else "good"

    def teardown(self) -> None:
        self.reasons.update(self.history.reasons)


@pytest.mark.proof(gate=100, soak=1_200)
def test_whatever_happens_the_slots_keep_their_promises(
    rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    seed = seed_of(pytestconfig)
    PureMachine.counts, PureMachine.reasons = Counter(), Counter()

    run_state_machine_as_test(
        seeded(seed)(PureMachine),
        settings=settings(max_examples=rounds, stateful_step_count=STEPS, deadline=None, database=None),
    )

    counts, reasons = PureMachine.counts, PureMachine.reasons
    taken = ", ".join(f"{counts[step]} {step}" for step in ("RecordPlan", "WriteSecret", "Activate", "Done"))
    figure(f"seed {seed}: {figures(counts, reasons)}; single steps: {taken}")
    # Machines that went nowhere would prove nothing.
    assert {text for text in OF_EDITS if counts[text]} == set(OF_EDITS)
    assert reasons.keys() == REASONS


def test_what_ends_within_seconds_does_not_stand_for_what_outlives_it() -> None:
    """A licence that is extended in its last seconds does not save the token that there is; one made since lives on."""
    world = PureWorld()
    soon, later = (rfc3339(NOON + after) for after in (timedelta(seconds=30), timedelta(days=1)))

    def asked_for(*names: str, end: str = later) -> Json:
        spec = {"deploymentType": "Kubernetes", "licenseExpiresAt": end, "tokens": [{"name": name} for name in names]}
        return {**(world.read() or {"metadata": {"name": "dc-west"}}), "spec": spec}

    world.create(asked_for("a", end=soon))
    world.rest()
    world.pass_time(15)
    assert world.write(asked_for("a", "b")) == frozenset()
    world.rest()
    world.pass_time(15)

    assert world.write(asked_for("a", "c")) == {OUTLIVED}
    world.rest()
    assert world.write(asked_for("b", "c")) == frozenset()
    assert {token["slot"] for token in active_of(world.rest().body or {})} == {"b", "c"}
