"""A token may be compromised: a person replaces it while instances use it, and sees at each step who is left (R23).

Through the API alone, as a person does it, with instances at two replicas of the exchange.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tallystick.connections.domain.heartbeat_records import SUPERSEDED_AFTER
from tallystick.connections.services.instance_log import MOST_READS
from tests.harness.audit_trail import CONTROLLER_USER, Trail
from tests.harness.connections import (
    a_connection,
    connected,
    set_slots,
    slots,
    token_in,
    tokens_of,
    wait_for_active,
)
from tests.harness.exchange import Replica, replica
from tests.harness.fleets import (
    EXCHANGE_USER,
    Fleet,
    History,
    counts,
    grades,
    kubectl_warnings,
    outdated,
    removing_slots,
    wait_for_counts,
)
from tests.harness.objects import condition
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System

PRESSES = tuple(f"press-{number}" for number in range(1, 7))
OPERATOR = "tallystick-system"


@pytest.fixture
def elsewhere(system: System, tmp_path: Path) -> Iterator[Replica]:
    """A replica on another host: what it stores is its own, and joined with what others have stored."""
    with replica(system, tmp_path / "exchange", flags={"--replica-name": "elsewhere"}) as running:
        yield running


def test_a_token_is_replaced_while_instances_use_it_and_who_is_left_is_named(
    site: Site, system: System, second_replica: Replica
) -> None:
    """R23, with the old token revoked too early: that is allowed, and whom it cuts off is told everywhere."""
    api, body = site.api, a_connection(site.namespace)
    old_id = connected(api, body)["status"]["currentTokenID"]
    fleet = Fleet(site.exchange, body, (system.up.url, second_replica.url))
    fleet.register(token_in(api, body), *PRESSES)
    assert fleet.beat() == {}
    before = wait_for_counts(api, body, {"default": 6})
    assert (grades(before), outdated(before)) == ((6, 0, 0), 0)

    with History.of(api, body) as history:
        set_slots(api, body, "default", "next").must_succeed()
        generated = wait_for_active(api, body, ["default", "next"])
        assert (counts(generated), outdated(generated)) == ({"default": 6, "next": 0}, 6)
        assert _said(generated).endswith(
            "6 instances still use it: press-1, press-2, press-3, press-4, press-5 and 1 more."
        )

        fleet.register(token_in(api, body), *PRESSES[:4])
        assert fleet.beat() == {}
        half_way = wait_for_counts(api, body, {"default": 2, "next": 4})
        assert (grades(half_way), outdated(half_way)) == ((6, 0, 0), 2)
        assert _said(half_way) == (
            f"2 tokens are active. Register the token of slot next (Secret {site.namespace}/dc-west-connection-token, "
            "key token) on all instances. Then remove slot default from spec.tokens to revoke the old token. "
            "2 instances still use it: press-5, press-6."
        )

        warnings = kubectl_warnings(api, *removing_slots(body, "next"))
        assert len(warnings) == 1
        assert warnings[0].endswith("revoking the token of slot default cuts off 2 instances that last used it")
        poll(lambda: condition(api.get(body), "InstancesCutOff"))
        cut_off = wait_for_active(api, body, ["next"])
        assert condition(cut_off, "InstancesCutOff")["message"] == (
            "2 instances last used a revoked token: press-5, press-6; register the token of slot next on them"
        )
        assert (condition(cut_off, "InstancesCutOff")["status"], condition(cut_off, "Ready")["status"]) == ("True",) * 2
        assert (grades(cut_off), outdated(cut_off), counts(cut_off)) == ((6, 0, 0), 2, {"next": 4})
        assert [token["instances"] for token in tokens_of(cut_off, "Revoked")] == [2]
        (event,) = poll(lambda: site.events("TokenStillInUse"))
        assert event["message"] == f"2 instances last used token {old_id}: press-5, press-6"
        poll(lambda: fleet.beat().keys() == {"press-5", "press-6"})
        assert {answer.description for answer in fleet.beat().values()} == {f"token {old_id} has been revoked"}

        fleet.register(token_in(api, body), "press-5", "press-6")
        assert fleet.beat() == {}
        after = wait_for_counts(api, body, {"next": 6})
        assert (outdated(after), condition(after, "InstancesCutOff")) == (0, {})
        reported = history.versions()

    assert {grades(version) for version in reported} == {(6, 0, 0)}
    left = [outdated(version) for version in reported]
    since_generated = left[left.index(6) :]
    assert since_generated == sorted(since_generated, reverse=True)
    assert ({0} >= set(left[: left.index(6)]), since_generated[-1]) == (True, 0)
    assert len(site.events("TokenStillInUse")) == 1


def test_an_instance_counts_once_for_the_token_that_it_has_used_last_wherever_it_is_led(
    site: Site, system: System, elsewhere: Replica
) -> None:
    """A load balancer leads it now here, now there; and who revokes when nobody is left is warned of nothing."""
    api, body = site.api, a_connection(site.namespace, tokens=slots("old", "new"))
    connected(api, body)
    here, there = system.up.url, elsewhere.url
    fleet = Fleet(site.exchange, body)
    old, new = token_in(api, body, "old"), token_in(api, body, "new")

    with History.of(api, body) as history:
        fleet.register(new, "press-1")
        assert _beat_in_another_second(system, fleet, here, there) == {}
        fleet.register(old, "press-1")  # a person has rolled it back: the latest counts, not the newest
        assert _beat_in_another_second(system, fleet, there) == {}
        wait_for_counts(api, body, {"old": 1, "new": 0})
        fleet.register(new, "press-1")
        assert _beat_in_another_second(system, fleet, here, there, here) == {}
        no_one_left = wait_for_counts(api, body, {"old": 0, "new": 1})

        warnings = kubectl_warnings(api, *removing_slots(body, "new"))
        wait_for_active(api, body, ["new"])
        reported = history.versions()

    assert _said(no_one_left).endswith("to revoke the old token. No instance reports that it uses it.")
    assert warnings == []
    assert [condition(version, "InstancesCutOff") for version in reported] == [{}] * len(reported)
    assert {grades(version) for version in reported} == {(1, 0, 0)}
    assert site.events("TokenStillInUse") == []


def test_the_record_of_a_former_replica_goes_once_its_instances_report_to_others(
    site: Site, system: System, tmp_path: Path
) -> None:
    """As after a rollout: each pod has a new name, and its record must not stay for a day."""
    api, body = site.api, a_connection(site.namespace)
    connected(api, body)
    name = f"tallystick-instances-former-{site.namespace}"[:60].strip("-")
    record = {"kind": "ConfigMap", "metadata": {"name": name, "namespace": OPERATOR}}
    flags = {"--replica-name": name.removeprefix("tallystick-instances-")}
    with replica(system, tmp_path / "exchange", flags=flags) as former:
        fleet = Fleet(site.exchange, body, (former.url,))
        fleet.register(token_in(api, body), *PRESSES)
        assert fleet.beat() == {}
        wait_for_counts(api, body, {"default": 6})
    assert api.find(record) is not None

    system.clock.advance(SUPERSEDED_AFTER + timedelta(seconds=1))
    fleet = Fleet(site.exchange, body, (system.up.url,))
    fleet.register(token_in(api, body), *PRESSES)
    assert fleet.beat() == {}
    poll(lambda: api.find(record) is None)

    assert (counts(api.get(body)), grades(api.get(body))) == ({"default": 6}, (6, 0, 0))


@pytest.mark.proof(gate=6, soak=180)
def test_heartbeats_without_news_write_almost_nothing(
    site: Site, system: System, second_replica: Replica, rounds: int, figure: Figure
) -> None:
    """Rounds are seconds. The times are stored once a minute, by each replica, however many heartbeats come."""
    api, body = site.api, a_connection(site.namespace)
    connected(api, body)
    replicas = (system.up.url, second_replica.url)
    fleet = Fleet(site.exchange, body, replicas)
    fleet.register(token_in(api, body), *(f"press-{number}" for number in range(40)))
    assert fleet.beat() == {}
    wait_for_counts(api, body, {"default": 40})
    trail = Trail(system.plane.audit_log)
    mark, read, began = trail.mark(), _gets(site, replicas), time.monotonic()

    heartbeats = 0
    while time.monotonic() < began + rounds:
        assert fleet.beat() == {}
        heartbeats += 40
    seconds, reads = time.monotonic() - began, _gets(site, replicas) - read

    of_the_exchange = [
        write for where in (OPERATOR, site.namespace) for write in trail.writes(where, since=mark, user=EXCHANGE_USER)
    ]
    of_the_controller = trail.writes(site.namespace, since=mark, user=CONTROLLER_USER)
    at_home = {write.split()[1] for write in trail.writes(OPERATOR, since=mark, user=CONTROLLER_USER)}
    figure(
        f"{heartbeats:,} heartbeats in {seconds:.0f} s at 2 replicas: {len(of_the_exchange)} writes of the exchange, "
        f"{len(of_the_controller)} of the controller, {reads:.0f} reads"
    )
    assert {write.split()[1] for write in of_the_exchange} <= {"configmaps"}
    # Both replicas are of one host, so they share a ConfigMap: now and then one is too late, and tries again.
    assert len(of_the_exchange) <= 4 * (1 + seconds / 60)
    assert of_the_controller == []
    assert at_home <= {"leases"}
    # Once a minute, a replica reads some of the configurations that are silent, such as those of other tests.
    of_silent = len(replicas) * MOST_READS * (1 + seconds // 60)
    # A reading is shared for a second, and the keyring is read every five.
    assert reads <= len(replicas) * (1.2 * seconds + 3) + of_silent
    assert heartbeats > 10 * reads


def _said(body: dict[str, object]) -> str:
    message: str = condition(body, "Ready")["message"]
    return message


def _gets(site: Site, replicas: tuple[str, ...]) -> float:
    return sum(site.exchange.at(url).api_calls("get") for url in replicas)


def _beat_in_another_second(system: System, fleet: Fleet, *replicas: str) -> dict[str, object]:
    """Send a heartbeat to each of the replicas, later than what they have seen: they store whole seconds."""
    now = int(system.clock.now().timestamp())
    poll(lambda: int(system.clock.now().timestamp()) > now)
    return {name: answer for replica in replicas for name, answer in fleet.beat(replica=replica).items()}
