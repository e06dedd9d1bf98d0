"""A master key that only memory holds: with two replicas, and with a user who writes in the wrong moment."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tallystick.controller.lease import LeaseTimes
from tests.harness.api import Api
from tests.harness.clock import FOLLOWING, MovedClock
from tests.harness.cluster_keys import (
    a_join_key,
    a_master_key,
    a_secret,
    fingerprint,
    fresh_key,
    put,
    wait_for_ready,
)
from tests.harness.controllers import LEASE, ControllerProcess, Controllers, controllers
from tests.harness.failpoints import HALT_VARIABLE, RECORD_VARIABLE, Halts, recorded
from tests.harness.installed import new_namespace
from tests.harness.key_history import values_of
from tests.harness.objects import condition
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

TIMES = LeaseTimes()
# A replica looks at the Lease so often, in seconds. It counts from the look that has found the last renewal.
LONGEST_PAUSE = 1.2 * TIMES.retry
SEALED_WITHIN = 20.0


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


def message(body: Json) -> str:
    return str(condition(body, "Ready")["message"])


@pytest.mark.proof(gate=1, soak=5)
def test_another_replica_goes_on_without_the_key_and_gets_it_back(
    controllers: Controllers, api: Api, tmp_path: Path, rounds: int, figure: Figure
) -> None:
    """Placed, Ready, 404, killed, Sealed; what is shared stays and is healed; then the wrong key and the right one."""
    for number in range(rounds):
        lived(controllers, api, tmp_path / f"calls-{number}")

    assert TIMES.duration + LONGEST_PAUSE <= SEALED_WITHIN
    late = f"a look at the Lease comes {LONGEST_PAUSE} s late at most"
    figure(f"{rounds} leaders killed with a key in memory: Sealed after {TIMES.duration:.0f} s of the clock; {late}")


@dataclass(frozen=True, slots=True)
class Succession:
    """Two replicas with one clock, by which the Lease expires."""

    api: Api
    clock: MovedClock
    leader: ControllerProcess
    calls: Path

    def kill_the_leader(self) -> datetime:
        """Kill it, and return when the other one may lead: the time of the last renewal, and the duration of a Lease.

        The clock stands at that time then, and the other one has seen the last renewal, and that it holds until then.
        """
        killed = self.clock.now().replace(microsecond=0) + timedelta(seconds=1)
        self.clock.stand_at(killed)
        poll(lambda: self._renewed() == killed)
        self.leader.child.kill()
        self._wait_for_a_look()
        last = killed + timedelta(seconds=TIMES.duration)
        self.clock.stand_at(last - timedelta(seconds=1))
        self._wait_for_a_look()
        assert self._renewed() == killed, "nobody takes a Lease that has not expired"
        self.clock.stand_at(last)
        return last

    def _renewed(self) -> datetime:
        return datetime.fromisoformat(self.api.get(LEASE)["spec"]["renewTime"])

    def _wait_for_a_look(self) -> None:
        """Return when the other replica has asked for the Lease after this moment, and has had the answer."""
        before = self._looks()
        poll(lambda: self._looks() >= before + 2)

    def _looks(self) -> int:
        return sum((call.verb, call.plural) == ("get", "leases") for call in recorded(self.calls))


def lived(controllers: Controllers, api: Api, calls: Path) -> None:
    clock, one_clock = MovedClock(controllers.folder / "clock"), {FOLLOWING: "1"}
    namespace, shared_with = new_namespace(api, "external"), new_namespace(api, "external-target")
    key, body = fresh_key(), a_master_key(namespace, external=True, secretRef={"name": "mk"})
    place = a_secret(namespace, "mk", master_key=key)
    first = a_join_key(namespace, targets=[{"namespace": shared_with}])
    second = a_join_key(namespace, "new")
    outputs = [a_secret(where, "jpd-1-join-key") for where in (namespace, shared_with)]
    outputs.append(a_secret(namespace, "jpd-1-join-key-sealed"))
    with (
        controllers.leading(**one_clock) as leader,
        controllers.running(**one_clock, **{RECORD_VARIABLE: str(calls)}) as other,
    ):
        for one in (place, body, first):
            api.create(one).must_succeed()
        wait_for_ready(api, first, "Shared")
        wait_for_ready(api, body, "KeyInMemory")
        assert api.find(place) is None
        before = [api.get(output) for output in outputs]

        expired = Succession(api, clock, leader, calls).kill_the_leader()
        required = wait_for_ready(api, body, "MasterKeyRequired")
        sealed = condition(required, "Ready")["lastTransitionTime"]
        assert datetime.fromisoformat(sealed) == expired, "no more time has to pass than that of the Lease"
        clock.go_on()
        assert other.leads
        assert required["status"]["state"] == "Sealed"
        assert "holder" not in required["status"]
        assert [api.get(output) for output in outputs] == before, "what runs goes on, byte by byte"

        for output in outputs[:2]:
            api.delete(output).must_succeed()
            poll(lambda output=output: (api.find(output) or {}).get("data") == data_of(before, output))
        api.create(second).must_succeed()
        waiting = wait_for_ready(api, second, "MasterKeyRequired")
        assert api.find(a_secret(namespace, "new-join-key")) is None
        assert '"ready"' in other.get("/readyz")

        wrong = fresh_key()
        put(api, a_secret(namespace, "mk", master_key=wrong))
        mismatch = wait_for_ready(api, body, "MasterKeyMismatch")
        assert values_of(api.get(place)) == {"master-key": wrong}

        put(api, place)
        unsealed = wait_for_ready(api, body, "KeyInMemory")
        wait_for_ready(api, second, "Shared")
        assert (api.find(place), api.get(outputs[0])["data"]) == (None, before[0]["data"])
        holder = api.get(LEASE)["spec"]["holderIdentity"]

    held = fingerprint(key)
    assert f"fingerprint {held}" in message(required)
    assert f"external master key {held} is not in memory" in message(waiting)
    assert f"holds {fingerprint(wrong)}, needed is {held}; it was left alone" in message(mismatch)
    assert unsealed["status"]["holder"]["identity"] == holder


def data_of(stored: list[Json], named: Json) -> Json:
    """Return the data that a Secret of this name had."""
    where = (named["metadata"]["namespace"], named["metadata"]["name"])
    (found,) = [one["data"] for one in stored if (one["metadata"]["namespace"], one["metadata"]["name"]) == where]
    data: Json = found
    return data


# A user writes between the read of the Secret and its deletion.


def edited_to_another_key(api: Api, place: Json) -> Json:
    value = a_secret("", "", master_key=fresh_key())["data"]
    return api.merge(place, {"data": value}).must_succeed()


def made_again_with_the_same_key(api: Api, place: Json) -> Json:
    return put(api, place)


def made_again_with_another_key(api: Api, place: Json) -> Json:
    return put(api, a_secret(place["metadata"]["namespace"], place["metadata"]["name"], master_key=fresh_key()))


CHANGES: list[Callable[[Api, Json], Json]] = [
    edited_to_another_key,
    made_again_with_the_same_key,
    made_again_with_another_key,
]


@pytest.mark.proof(gate=6, soak=100)
def test_a_secret_that_is_replaced_between_its_read_and_its_deletion_is_not_deleted(
    controllers: Controllers, api: Api, tmp_path: Path, rounds: int, figure: Figure
) -> None:
    namespace, halts = new_namespace(api, "external-race"), Halts(tmp_path)
    halts.at("before:delete:secrets")
    places = [a_secret(namespace, f"mk-{number}", master_key=fresh_key()) for number in range(rounds)]
    bodies = [
        a_master_key(namespace, f"product-{number}", external=True, secretRef={"name": f"mk-{number}"})
        for number in range(rounds)
    ]
    fresh = []
    with controllers.leading(**{HALT_VARIABLE: str(tmp_path)}):
        for number, (place, body) in enumerate(zip(places, bodies, strict=True)):
            for one in (place, body):
                api.create(one).must_succeed()
            poll(halts.arrived(namespace, f"mk-{number}").exists)
            fresh.append(CHANGES[number % len(CHANGES)](api, place))
            halts.may_go_on(namespace, f"mk-{number}").touch()
        for body in bodies:
            wait_for_ready(api, body, "KeyInMemory")
        # The listing of the Secrets that users place has come by, and whoever waits for one has looked again.
        for number, body in enumerate(bodies):
            if CHANGES[number % len(CHANGES)] is made_again_with_the_same_key:
                poll(lambda body=body: "is in place for the next start" in message(api.get(body)))
        kept = [api.find(place) for place in places]

    deleted = sum(
        one is None or one["metadata"]["uid"] != new["metadata"]["uid"] for one, new in zip(kept, fresh, strict=True)
    )
    figure(f"{rounds} Secrets replaced between read and deletion: {deleted} fresh ones deleted")
    assert kept == fresh
