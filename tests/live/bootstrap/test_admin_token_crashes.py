"""The first admin token is made once, though controllers are killed at each write and its trigger is recreated."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, TRIGGER
from tallystick.pairing.domain.use_cases import RESERVED
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.controllers import LEASE, Controllers, controllers
from tests.harness.objects import value_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

GENERATION = "TALLYSTICK_BOOTSTRAP_GENERATION"
TRIGGER_BODY: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": TRIGGER, "namespace": DEFAULT_NAMESPACE},
}
SECRET_BODY: Json = {"kind": "Secret", "metadata": {"name": ADMIN_SECRET, "namespace": DEFAULT_NAMESPACE}}
KEYRING_BODY: Json = {"kind": "Secret", "metadata": {"name": "tallystick-keyring", "namespace": DEFAULT_NAMESPACE}}
BEFORE_LEADING = (
    "replace:secrets/tallystick-keyring",
    "create:mastertokens",
    f"create:secrets/{ADMIN_SECRET}",
    f"delete:configmaps/{TRIGGER}",
)


class Life:
    """One generation, from its trigger to the record of its end, and all that was ever to be seen of its token."""

    def __init__(self, controllers: Controllers, generation: int) -> None:
        self.controllers, self.admin = controllers, controllers.admin
        self.clock = MovedClock(controllers.folder / "clock")
        self.variables = {GENERATION: str(generation)}
        self.values: set[str] = set()
        self.ids: set[str] = set()
        self.kept = {body["metadata"]["uid"] for body in self._masters()}

    def live(self, moments: Iterator[str]) -> int:
        """Let a controller die at each of the six writes; return how many have died."""
        self.admin.create(TRIGGER_BODY).must_succeed()
        for write in BEFORE_LEADING:
            self._die(f"{next(moments)}:{write}")
        self._die(f"{next(moments)}:delete:secrets/{ADMIN_SECRET}", at=60)
        self._die(f"{next(moments)}:replace_status:mastertokens/{self.name}", at=900)
        with self.controllers.leading(**self.variables):
            poll(lambda: self.master["status"].get("state") == "Revoked")
            poll(lambda: self.admin.find(SECRET_BODY) is None)
        self._look()
        return len(BEFORE_LEADING) + 2

    def _die(self, failpoint: str, *, at: int = 0) -> None:
        def until() -> None:
            poll(lambda: self.master.get("status", {}).get("state") == "Active")
            self._look()
            issued = datetime.fromisoformat(self.record["issuedTime"])
            self.clock.advance(max(timedelta(0), issued + timedelta(seconds=at) - self.clock.now()))

        self.controllers.die(failpoint, first=until if at else lambda: None, **self.variables)
        self._look()

    def _look(self) -> None:
        secret = self.admin.find(SECRET_BODY)
        if secret is not None:
            self.values.add(value_of(secret, ADMIN_SECRET))
        if record := self.record:
            self.ids.add(record["tokenID"])

    @property
    def record(self) -> Json:
        annotations = self.admin.get(KEYRING_BODY)["metadata"].get("annotations", {})
        found = json.loads(annotations.get("tallystick.dev/bootstrap-token", "{}"))
        return found.get("token", {}) if str(found.get("generation")) == self.variables[GENERATION] else {}

    @property
    def name(self) -> str:
        return f"mtok-{self.record['tokenID']}"

    @property
    def master(self) -> Json:
        (body,) = [body for body in self._masters() if body["metadata"]["uid"] not in self.kept]
        return body

    @property
    def made(self) -> int:
        return len([body for body in self._masters() if body["metadata"]["uid"] not in self.kept])

    def _masters(self) -> list[Json]:
        return self.admin.find_all("MasterToken", DEFAULT_NAMESPACE, fieldSelector=f"spec.useCase={RESERVED}")


def alternately(first: int) -> Iterator[str]:
    for number in range(first, first + 100):
        yield ("before", "after")[number % 2]


@pytest.fixture(scope="module")
def admin(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.mark.timeout(600)
@pytest.mark.proof(gate=1, soak=20)
def test_a_controller_that_dies_at_each_write_makes_one_token(
    controllers: Controllers, rounds: int, figure: Figure
) -> None:
    deaths = 0
    for number in range(1, rounds + 1):
        life = Life(controllers, number)

        deaths += life.live(alternately(number))

        assert (life.made, len(life.ids), len(life.values)) == (1, 1, 1)
        assert controllers.admin.find(TRIGGER_BODY) is None
        assert controllers.admin.find(SECRET_BODY) is None
    figure(f"{rounds} rounds, {deaths} kills: 1 MasterToken, 1 jti and 1 value each")


@pytest.mark.timeout(600)
@pytest.mark.variants("write", gate=BEFORE_LEADING[2:3], soak=[write for write in BEFORE_LEADING for _ in range(20)])
def test_the_other_replica_ends_what_a_killed_leader_has_begun(
    controllers: Controllers, admin: Api, write: str, request: pytest.FixtureRequest
) -> None:
    generation = 100 + len(admin.find_all("MasterToken", DEFAULT_NAMESPACE))
    life = Life(controllers, generation)
    admin.create(TRIGGER_BODY).must_succeed()
    admin.delete(LEASE)
    leader = controllers._spawn(f"after:{write}", **life.variables)
    request.addfinalizer(leader.child.stop)
    poll(lambda: admin.find(LEASE) is not None)
    with controllers.running(**life.variables) as other:
        poll(lambda: leader.ended)
        life._look()
        admin.delete(LEASE)  # what is left of it would only be waited for
        poll(lambda: other.leads)
        poll(lambda: admin.find(TRIGGER_BODY) is None)
        life._look()

        assert (life.made, len(life.ids), len(life.values)) == (1, 1, 1)
        admin.delete(SECRET_BODY).must_succeed()


def ignored(admin: Api) -> list[str]:
    events = admin.find_all("Event", DEFAULT_NAMESPACE, fieldSelector="reason=BootstrapTriggerIgnored")
    return [event["message"] for event in events]


@pytest.mark.timeout(600)
@pytest.mark.proof(gate=2, soak=10)
def test_recreated_triggers_make_no_further_token_and_one_event_a_start(
    controllers: Controllers, admin: Api, rounds: int, figure: Figure
) -> None:
    generation = 1000
    life = Life(controllers, generation)
    admin.create(TRIGGER_BODY).must_succeed()
    with controllers.leading(**life.variables):
        poll(lambda: admin.find(TRIGGER_BODY) is None)
        poll(lambda: admin.find(SECRET_BODY) is not None)
    made_at = datetime.fromisoformat(life.record["issuedTime"]).astimezone(UTC)
    before = ignored(admin)

    created = 0
    for start in range(1, rounds + 1):
        admin.create(TRIGGER_BODY).must_succeed()
        with controllers.leading(**life.variables):
            poll(lambda start=start: len(ignored(admin)) == len(before) + start)
            for _ in range(4):
                admin.delete(TRIGGER_BODY).must_succeed()
                admin.create(TRIGGER_BODY).must_succeed()
            created += 5
        admin.delete(TRIGGER_BODY).must_succeed()

    new = ignored(admin)[len(before) :]
    assert (life.made, len(new)) == (1, rounds)
    assert set(new) == {
        f"an admin token was made at {made_at:%Y-%m-%dT%H:%M:%SZ}; set --bootstrap-generation to 1001 for another"
    }
    figure(f"{created} triggers over {rounds} starts: 0 further tokens, {len(new)} events")
