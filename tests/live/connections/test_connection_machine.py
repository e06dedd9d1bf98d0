"""The machine of the slots at the real API, with the controller and the exchange at work.

The API server's answers are compared with the admission that `tests/harness/slot_admission.py` has by hand, both ways:
what the one refuses with some of our texts, the other refuses with the same ones.
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tallystick.schema.meta import API_VERSION
from tests.harness.api import Answer
from tests.harness.connections import connection_secret_of
from tests.harness.fuzzing import seed_of
from tests.harness.objects import value_of, wait_until_gone
from tests.harness.pairing_site import Site, claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.slot_admission import OF_EDITS, OF_STATUSES, RARELY
from tests.harness.slot_history import REASONS
from tests.harness.slot_machine import HOLD, NAME, Rest, SlotMachine, figures
from tests.harness.slot_states import acceptable, deleting
from tests.harness.system import System
from tests.harness.writers import merge_patch

Json = dict[str, Any]

STEPS = 16
# The exchange may share a reading for a second; so what was edited is judged by and by.
JUDGED_EVERY = 3
SECONDS = 40.0
KNOWN = (*OF_EDITS, *RARELY, *OF_STATUSES)
CONFLICT = "the object has been modified"


@dataclass
class LiveWorld:
    """One object in a namespace, and all tokens that its Secret ever held."""

    site: Site
    system: System
    values: dict[str, str] = field(default_factory=dict, repr=False)
    _seen: Json = field(default_factory=dict, repr=False)
    _turns: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def about(self) -> Json:
        metadata = {"name": NAME, "namespace": self.site.namespace}
        return {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": metadata, "spec": {}}

    def now(self) -> datetime:
        return self.system.clock.now()

    def pass_time(self, seconds: float) -> None:
        self.system.clock.advance(timedelta(seconds=seconds))

    def read(self) -> Json | None:
        found = self.site.api.find(self.about)
        self._seen = found or {}
        return found

    def create(self, body: Json) -> frozenset[str]:
        reported = _reported(self.site.api.create({**body, "metadata": self.about["metadata"]}))
        assert reported is not None
        return reported

    def write(self, body: Json) -> frozenset[str] | None:
        """By PUT and by patch in turn, over the version that was read."""
        if next(self._turns) % 2:
            return _reported(self.site.api.update(body))
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "spec": merge_patch(self._seen["spec"], body["spec"])}
        return _reported(self.site.api.merge(self.about, patch))

    def delete(self, *, hold: bool) -> None:
        api, gone_soon = self.site.api, not hold
        if not deleting(self._seen):
            if hold:
                api.merge(self.about, {"metadata": {"finalizers": [HOLD]}}).must_succeed()
            api.delete(self.about).must_succeed()
            if gone_soon:
                self._wait_until_gone()

    def release(self) -> None:
        self.site.api.merge(self.about, {"metadata": {"finalizers": None}}).must_succeed()
        self._wait_until_gone()

    def rest(self) -> Rest:
        return poll(self._rest, seconds=SECONDS)

    def learn(self) -> dict[str, str]:
        """Read the Secret, and keep what it holds. Gives the id of each token by data key."""
        secret = self.site.api.find(connection_secret_of(self.about))
        keys = [key for key in (secret or {}).get("data", {}) if key == "token" or key.startswith("token.")]
        values = {key: value_of(secret or {}, key) for key in keys}
        held = {key: str(claims_of(value)["jti"]) for key, value in values.items()}
        self.values.update({held[key]: value for key, value in values.items()})
        return held

    def answers(self) -> dict[str, str]:
        """What the exchange says to each token that is known; a heartbeat must agree with introspection."""
        return {token_id: self._answer(value) for token_id, value in self.values.items()}

    def _answer(self, token: str) -> str:
        client, connection = self.site.exchange, f"{self.site.namespace}/{NAME}"
        asked = client.introspect(token, self.site.bearer, deployment_type="Kubernetes")
        beat = client.heartbeat(token, connection)
        match asked.status, asked.body.get("active"), beat.status:
            case 200, True, 204:
                return "good"
            case 200, False, 401:
                return "refused"
            case _:
                return "pending"  # it is, or something changed between the two

    def _rest(self) -> Rest | None:
        body = self.read()
        rest = Rest(body, self.learn(), self.now())
        observed = body is None or body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        return rest if observed and rest.is_as_it_should_be() else None

    def _wait_until_gone(self) -> None:
        wait_until_gone(self.site.api, self.about, seconds=SECONDS)
        # The garbage collector may take half a minute to learn of a new kind: the next object would wait for it.
        self.site.api.delete(connection_secret_of(self.about))


def _reported(answer: Answer) -> frozenset[str] | None:
    """Which of our texts are in an answer; None: somebody was faster."""
    if answer.succeeded:
        return frozenset()
    if CONFLICT in answer.message:
        return None
    reported = frozenset(text for text in KNOWN if text in answer.message)
    assert reported, answer.message
    return reported


class LiveMachine(SlotMachine):
    """While people edit, the controller works on its own, as fast as it can."""

    counts: ClassVar[Counter[str]] = Counter()
    reasons: ClassVar[Counter[str]] = Counter()

    def __init__(self, site: Site, system: System) -> None:
        self.live = LiveWorld(site, system)
        super().__init__(self.live)

    def judge(self, body: Json | None) -> None:
        if self.age % JUDGED_EVERY == JUDGED_EVERY - 1:
            poll(self._agreed, seconds=SECONDS)

    def _agreed(self) -> bool:
        """Whether the exchange says of each token what the object says; a refusal of what is none is for ever."""
        before, earlier = self.live.read(), self.live.now()
        self.live.learn()
        answers = self.live.answers()
        body, now = self.live.read(), self.live.now()
        self.history.observe(body, now)
        # By a reading of a second ago, one whose licence was just moved may seem to be over.
        doubtful = acceptable(before, earlier) | acceptable(body, now)
        heard = {key: "pending" if said == "refused" and key in doubtful else said for key, said in answers.items()}
        good = self.history.hear(heard)
        self.counts["answers"] += len(answers)
        if _version(before) != _version(body) or good != acceptable(body, now):
            return False
        self.history.judge(body, now, good)
        return True

    def teardown(self) -> None:
        self.reasons.update(self.history.reasons)
        body = self.live.read()
        if body is not None and deleting(body):
            self.live.release()
        elif body is not None:
            self.live.delete(hold=False)


def _version(body: Mapping[str, Any] | None) -> str:
    return str(body["metadata"]["resourceVersion"]) if body else ""


@pytest.mark.proof(gate=8, soak=60)
def test_the_api_the_controller_and_the_exchange_keep_the_promises_of_the_slots(
    site: Site, system: System, rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    """Nothing is made smaller when it fails: the same steps never meet the same controller twice."""
    seed = seed_of(pytestconfig)
    LiveMachine.counts, LiveMachine.reasons = Counter(), Counter()

    def machine() -> LiveMachine:
        return LiveMachine(site, system)

    run_state_machine_as_test(
        seeded(seed)(machine),
        settings=settings(
            max_examples=rounds,
            stateful_step_count=STEPS,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
            database=None,
        ),
    )

    counts = LiveMachine.counts
    figure(f"seed {seed}: {figures(counts, LiveMachine.reasons)}; {counts['answers']} answers of the exchange")
    assert counts["edits"] > rounds
    assert counts["answers"] > rounds
    assert REASONS >= LiveMachine.reasons.keys() > set()
