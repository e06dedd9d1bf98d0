"""A join key on a real API server: shared, healed, replaced, and in the way of nothing that belongs to others."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tallystick.clusterkeys.domain.join_key_copies import FINALIZER
from tallystick.clusterkeys.domain.keys import Purpose
from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.clock import MovedClock
from tests.harness.cluster_keys import (
    JOIN_TYPE,
    a_join_key,
    a_master_key,
    a_secret,
    fingerprint,
    fresh_key,
    put,
    raise_serial,
    wait_for_ready,
)
from tests.harness.controllers import Controllers, controllers
from tests.harness.join_key_copies import OWN, SEALED, copy_in, held, places, shared
from tests.harness.objects import condition, value_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers", "places"]

Json = dict[str, Any]

HEALED_WITHIN = 5.0
# The controller lists the Secrets of users every 5 s.
NOTICED_WITHIN = 20.0
# A namespace that a target names is looked for every 10 s.
FOUND_WITHIN = 30.0
OVERLAP = timedelta(minutes=10)


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.fixture(scope="module")
def leader(controllers: Controllers) -> Iterator[None]:
    with controllers.leading():
        yield


@pytest.fixture
def clock(controllers: Controllers) -> MovedClock:
    return MovedClock(controllers.folder / "clock")


def moved(api: Api, clock: MovedClock, body: Json, by: timedelta, phase: str | None) -> Json:
    """Let time pass until the replacement is in this phase; None: it is over."""
    clock.advance(by)

    def reached() -> Json | None:
        found = api.get(body)
        return found if (found["status"].get("replacement") or {}).get("phase") == phase else None

    found = poll(reached, seconds=60.0)
    assert found is not None
    return found


def reasons_of_events(api: Api, namespace: str) -> set[str]:
    return {event["reason"] for event in api.find_all("Event", namespace)}


def test_a_key_is_shared_by_the_writes_that_it_needs_and_no_others(
    controllers: Controllers, api: Api, places: tuple[str, str, str], leader: None
) -> None:
    here, rt, mc = places
    trail, body = Trail.from_now(controllers.plane.audit_log), shared(places, services=["artifactory", "access"])
    wait_for_ready(api, a_master_key(here), "KeyStored")
    mark = trail.mark()

    api.kubectl_apply(body)
    found = wait_for_ready(api, body, "Shared")
    api.kubectl_apply(body)

    written = [write for write in trail.settled(api, here, since=mark) if "masterkeys" not in write]
    assert written == [
        f"create secrets {SEALED}",
        "update joinkeys jpd-1",
        f"create secrets {OWN}",
        "update joinkeys/status jpd-1",
    ]
    assert [trail.writes(namespace, since=mark) for namespace in (rt, mc)] == [[f"create secrets {OWN}"]] * 2
    own = copy_in(api, here)
    assert own == copy_in(api, rt) == copy_in(api, mc)
    assert (own["cluster-name"], own["services"], own["key-id"]) == (
        "jpd-1",
        "artifactory,access",
        found["status"]["fingerprint"],
    )
    assert fingerprint(own["join-key"], Purpose.JOIN) == found["status"]["fingerprint"]
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert found["status"]["copies"] == {"total": 3, "inSync": 3}
    assert condition(found, "Ready")["message"].startswith("3 of 3 Secrets hold the key; mount jpd-1-join-key")


@pytest.mark.parametrize("name", [OWN, SEALED])
def test_an_edited_and_a_deleted_secret_are_back_within_5_s(
    api: Api, places: tuple[str, str, str], leader: None, name: str
) -> None:
    here, rt, _ = places
    api.create(body := shared(places)).must_succeed()
    wait_for_ready(api, body, "Shared")
    before = copy_in(api, here)
    data_key = "join-key" if name == OWN else "join-key.jwe"
    victims = [a_secret(here, name), *([a_secret(rt, OWN)] if name == OWN else [])]

    for victim in victims:
        api.merge(victim, {"data": {data_key: "Zm9yZ2Vk"}}).must_succeed()
        poll(lambda victim=victim: value_of(api.get(victim), data_key) != "forged", seconds=HEALED_WITHIN)
        api.delete(victim).must_succeed()
        poll(lambda victim=victim: api.find(victim) is not None, seconds=HEALED_WITHIN)

    assert copy_in(api, here) == copy_in(api, rt) == before
    wait_for_ready(api, body, "Shared")
    assert "JoinKeyDrift" in reasons_of_events(api, here)


def test_a_generated_key_is_replaced_with_an_overlap_before_and_after_it_signs(
    api: Api, places: tuple[str, str, str], leader: None, clock: MovedClock
) -> None:
    here, rt, mc = places
    api.create(body := shared(places)).must_succeed()
    old = wait_for_ready(api, body, "Shared")["status"]["fingerprint"]

    raise_serial(api, body)
    wait_for_ready(api, body, "ReplacingKey")
    published = [held(api, namespace) for namespace in places]
    switched = moved(api, clock, body, OVERLAP, "Retiring")
    signing = [held(api, namespace) for namespace in places]
    retired = moved(api, clock, body, OVERLAP, None)

    new = switched["status"]["fingerprint"]
    assert (published, signing) == ([[old, new]] * 3, [[new, old]] * 3)
    assert [held(api, namespace) for namespace in (here, rt, mc)] == [[new]] * 3
    assert (retired["status"]["keyVersion"], retired["status"]["state"]) == (2, "Active")
    assert "JoinKeyReplaced" in reasons_of_events(api, here)


def test_another_key_in_the_provided_secret_is_taken_over_at_once_with_an_overlap_of_0s(
    api: Api, places: tuple[str, str, str], leader: None
) -> None:
    here, rt, _ = places
    old, new = fresh_key(), fresh_key()
    put(api, a_secret(here, "jk", JOIN_TYPE, join_key=old))
    api.create(body := shared(places, secretRef={"name": "jk"}, overlap="0s")).must_succeed()
    first = wait_for_ready(api, body, "Shared")

    put(api, a_secret(here, "jk", JOIN_TYPE, join_key=new.upper() + "\n"))
    poll(lambda: api.get(body)["status"]["keyVersion"] == 2, seconds=NOTICED_WITHIN)
    values = copy_in(api, rt)
    api.delete(a_secret(here, "jk")).must_succeed()

    assert (first["status"]["source"], first["status"]["fingerprint"]) == ("Provided", fingerprint(old, Purpose.JOIN))
    assert (values["join-key"], "join-key-accepted" in values) == (new, False)
    assert copy_in(api, here) == values
    assert wait_for_ready(api, body, "Shared")["status"]["keyVersion"] == 2


def test_a_missing_namespace_and_a_foreign_secret_are_named_and_the_other_target_is_served(
    api: Api, places: tuple[str, str, str], leader: None
) -> None:
    here, rt, mc = places
    foreign = put(api, a_secret(rt, OWN, "Opaque", password="theirs"))
    later = f"{here}-later"
    body = a_join_key(here, targets=[{"namespace": rt}, {"namespace": later}, {"namespace": mc}])
    api.create(body).must_succeed()

    found = wait_for_ready(api, body, "SecretConflict")
    reported = {one["namespace"]: one.get("reason", "") for one in found["status"]["targets"]}
    assert reported == {here: "", rt: "SecretConflict", later: "TargetNamespaceNotFound", mc: ""}
    assert (
        f"Secret {rt}/{OWN} exists and is not managed by JoinKey {here}/jpd-1" in condition(found, "Ready")["message"]
    )
    assert held(api, mc) == held(api, here)
    assert api.get(foreign)["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]

    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": later}}).must_succeed()
    api.delete(foreign).must_succeed()
    wait_for_ready(api, body, "Shared", seconds=FOUND_WITHIN)
    assert held(api, later) == held(api, rt) == held(api, here)


def test_a_removed_target_and_a_deleted_join_key_leave_no_copy_behind(
    api: Api, places: tuple[str, str, str], leader: None
) -> None:
    here, rt, mc = places
    api.create(body := shared(places)).must_succeed()
    wait_for_ready(api, body, "Shared")

    api.merge(body, {"spec": {"targets": [{"namespace": mc}]}}).must_succeed()
    poll(lambda: api.find(a_secret(rt, OWN)) is None)
    kept = api.find(a_secret(mc, OWN))
    api.delete(body).must_succeed()
    poll(lambda: api.find(body) is None)

    assert kept is not None
    assert api.find(a_secret(mc, OWN)) is None
    # The garbage collector of a fresh control plane learns of a new kind within half a minute.
    poll(lambda: api.find(a_secret(here, OWN)) is None and api.find(a_secret(here, SEALED)) is None, seconds=90.0)


def test_a_target_that_is_deleted_with_its_namespace_does_not_hold_up_the_join_key(
    api: Api, places: tuple[str, str, str], leader: None
) -> None:
    _, rt, _ = places
    api.create(body := shared(places)).must_succeed()
    wait_for_ready(api, body, "Shared")

    api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": rt}}).must_succeed()
    found = poll(lambda: _not_ready(api, body), seconds=60.0)
    api.delete(body).must_succeed()

    assert condition(found, "Ready")["reason"] in ("TargetNamespaceTerminating", "TargetNamespaceNotFound")
    poll(lambda: api.find(body) is None)


@pytest.mark.proof(gate=3, soak=50)
def test_of_two_join_keys_for_one_secret_one_holds_it_and_the_other_names_it(
    api: Api, places: tuple[str, str, str], leader: None, rounds: int, figure: Figure
) -> None:
    here, rt, _ = places
    wins = dict.fromkeys(("one", "two"), 0)
    for number in range(rounds):
        wanted = [{"namespace": rt, "secretName": f"copy-{number}"}]
        rivals = {name: a_join_key(here, f"{name}-{number}", targets=wanted) for name in wins}
        for body in rivals.values():
            api.create(body).must_succeed()

        found = {name: poll(lambda body=body: _judged(api, body)) for name, body in rivals.items()}

        ready = [name for name, one in found.items() if condition(one, "Ready")["status"] == "True"]
        (winner,), (loser,) = ready, wins.keys() - ready
        assert condition(found[loser], "Ready")["reason"] == "SecretConflict"
        assert copy_in(api, rt, f"copy-{number}")["key-id"] == found[winner]["status"]["fingerprint"]
        assert copy_in(api, rt, f"copy-{number}")["cluster-name"] == f"{winner}-{number}"
        wins[winner] += 1
    figure(f"{rounds} pairs of join keys for one Secret: 1 holds it and 1 names it each time ({wins})")


def _judged(api: Api, body: Json) -> Json | None:
    """Return a JoinKey once all its copies are judged."""
    found = api.get(body)
    return found if condition(found, "Ready").get("reason") in ("Shared", "SecretConflict") else None


def _not_ready(api: Api, body: Json) -> Json | None:
    found = api.get(body)
    return found if condition(found, "Ready")["status"] == "False" else None
