"""The first admin token is made once, though controllers are killed at each write and its trigger is recreated."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, TRIGGER, new_record
from tallystick.pairing.domain.tokens import master_token_name
from tallystick.pairing.domain.use_cases import RESERVED
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.controllers import LEASE, Controllers, controllers
from tests.harness.objects import value_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.live.bootstrap.parts import GENERATION, KEYRING_BODY, MINUTES, SECRET_BODY, TRIGGER_BODY, ignored

__all__ = ["controllers"]

Json = dict[str, Any]

BEFORE_LEADING = (
    "replace:secrets/tallystick-keyring",
    "create:mastertokens",
    f"create:secrets/{ADMIN_SECRET}",
    f"delete:configmaps/{TRIGGER}",
)
# Several starts of a controller come before. A start that is later than the Secret would go makes none.
SECRET_STAYS = timedelta(minutes=10)
SECRET_GOES = f"delete:secrets/{ADMIN_SECRET}", SECRET_STAYS.seconds
# The first write of its status is that it is Active.
TOKEN_ENDS = "replace_status:mastertokens/{name}:2", 900
LATER = (SECRET_GOES, TOKEN_ENDS)
MOMENTS = ("before", "after")


class Life:
    """One generation, from its trigger to the record of its end, and all that was ever to be seen of its token."""

    def __init__(self, controllers: Controllers, generation: int) -> None:
        self.controllers, self.admin = controllers, controllers.admin
        self.clock = MovedClock(controllers.folder / "clock")
        self.variables = {GENERATION: str(generation), MINUTES: str(SECRET_STAYS.seconds // 60)}
        self.values: set[str] = set()
        self.ids: set[str] = set()
        self.kept = {body["metadata"]["uid"] for body in self._masters()}

    def live(self, moments: Iterator[str]) -> int:
        """Let a controller die at each of the six writes; return how many have died."""
        self.admin.create(TRIGGER_BODY).must_succeed()
        for write in BEFORE_LEADING:
            self._die(f"{next(moments)}:{write}")
        gone, after = SECRET_GOES
        self._die(f"{next(moments)}:{gone}", at=after)
        self._die(f"{next(moments)}:replace_status:mastertokens/{self.name}", at=900)
        with self.controllers.leading(**self.variables):
            poll(lambda: self.state == "Revoked")
            poll(lambda: self.admin.find(SECRET_BODY) is None)
        self.look()
        return len(BEFORE_LEADING) + 2

    def _die(self, failpoint: str, *, at: int = 0) -> None:
        def until() -> None:
            self.wait_for_second(at)

        self.controllers.die(failpoint, first=until if at else lambda: None, **self.variables)
        self.look()

    def wait_for_second(self, second: int) -> None:
        """Let it be so many seconds after the token was issued, once the controller has recorded it as Active."""
        poll(lambda: self.made == 1 and self.state == "Active")
        self.look()
        issued = datetime.fromisoformat(self.record["issuedTime"])
        self.clock.advance(max(timedelta(0), issued + timedelta(seconds=second) - self.clock.now()))

    def wait_for_end(self) -> None:
        """Let the token end, and wait until that is on record."""
        if self.state == "Active":
            self.wait_for_second(900)
        poll(lambda: self.state == "Revoked")
        self.look()

    def look(self) -> None:
        """Keep what is to be seen of the token."""
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

    def name_by(self, trigger: str) -> str:
        """Return the name of the MasterToken before it exists, by the uid of its trigger."""
        generation = int(self.variables[GENERATION])
        token = new_record(generation=generation, trigger=trigger, now=self.clock.now(), key_id="").token
        assert token is not None
        return master_token_name(token.token_id)

    @property
    def name(self) -> str:
        return f"mtok-{self.record['tokenID']}"

    @property
    def master(self) -> Json:
        (body,) = [body for body in self._masters() if body["metadata"]["uid"] not in self.kept]
        return body

    @property
    def state(self) -> str | None:
        state: str | None = self.master.get("status", {}).get("state")
        return state

    @property
    def made(self) -> int:
        return len([body for body in self._masters() if body["metadata"]["uid"] not in self.kept])

    def _masters(self) -> list[Json]:
        return self.admin.find_all("MasterToken", DEFAULT_NAMESPACE, fieldSelector=f"spec.useCase={RESERVED}")


def alternately(first: int) -> Iterator[str]:
    for number in range(first, first + 100):
        yield MOMENTS[number % 2]


@pytest.fixture(scope="module")
def admin(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.mark.timeout(3600)
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
        life.look()
        admin.delete(LEASE)  # what is left of it would only be waited for
        poll(lambda: other.leads)
        poll(lambda: admin.find(TRIGGER_BODY) is None)
        life.look()

        assert (life.made, len(life.ids), len(life.values)) == (1, 1, 1)
        admin.delete(SECRET_BODY).must_succeed()


@pytest.mark.timeout(600)
@pytest.mark.variants(
    "moment, write, second",
    gate=[("before", *SECRET_GOES), ("after", *TOKEN_ENDS)],
    soak=[(moment, *later) for later in LATER for moment in MOMENTS for _ in range(10)],
)
def test_the_other_replica_ends_a_token_whose_leader_was_killed(
    controllers: Controllers, admin: Api, moment: str, write: str, second: int, request: pytest.FixtureRequest
) -> None:
    life = Life(controllers, 100 + len(admin.find_all("MasterToken", DEFAULT_NAMESPACE)))
    trigger = admin.create(TRIGGER_BODY).must_succeed()["metadata"]["uid"]
    failpoint = f"{moment}:{write.format(name=life.name_by(trigger))}"
    admin.delete(LEASE)
    leader = controllers._spawn(failpoint, **life.variables)
    request.addfinalizer(leader.child.stop)
    poll(lambda: admin.find(LEASE) is not None)
    with controllers.running(**life.variables) as other:
        poll(lambda: admin.find(TRIGGER_BODY) is None)
        life.wait_for_second(second)
        poll(lambda: leader.ended)
        # It has died at this write, and at no other.
        assert (admin.find(SECRET_BODY) is None) == ((moment, write) != ("before", SECRET_GOES[0]))
        assert life.state == ("Revoked" if (moment, write) == ("after", TOKEN_ENDS[0]) else "Active")
        admin.delete(LEASE)  # what is left of it would only be waited for
        poll(lambda: other.leads)
        poll(lambda: admin.find(SECRET_BODY) is None)
        life.wait_for_end()

        assert (life.made, len(life.ids), len(life.values)) == (1, 1, 1)
        assert admin.find(TRIGGER_BODY) is None


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
