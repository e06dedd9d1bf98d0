"""Services in three namespaces read a key that is being replaced, each in its own time, and go on trusting each other.

The controller is the real reconciler, and the services use the real module on folders as kubelet writes them. Time is
a clock that the test moves, so delays are exact.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tallystick.clusterkeys.client import InvalidServiceTokenError
from tests.harness.proofs import Figure
from tests.interop import service_token
from tests.worlds.join_key_world import NAMESPACE, OWN, JoinKeyWorld, targets
from tests.worlds.service_traffic import LIFETIME, LONGEST_DELAY, OVERLAP, ServiceTraffic

SERVICES = {"artifactory": NAMESPACE, "access": "rt", "xray": "mc"}


@dataclass
class Cluster:
    """The controller and the services of one cluster."""

    world: JoinKeyWorld
    traffic: ServiceTraffic

    async def live(self) -> None:
        """Let a little time pass: the controller, the kubelets and the services do what is due."""
        self.world.clock.advance(self.traffic.step())
        await self.world.reconcile()
        self.traffic.turn()

    def state(self) -> tuple[str, int | None]:
        status = self.world.object().status
        return str(status.state), status.key_version


async def a_cluster(folder: Path, *, overlap: str, seed: int) -> Cluster:
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt", "mc"), services=list(SERVICES), overlap=overlap)
    dice = random.Random(seed)  # noqa: S311 - the delays of a test, the same for a seed
    traffic = ServiceTraffic(SERVICES, folder, world.secret, lambda: world.clock.now().timestamp(), dice)
    traffic.kubelets_read(at_once=True)
    return Cluster(world, traffic)


@pytest.mark.proof(gate=1_000, soak=10_000)
async def test_a_replacement_refuses_no_token_if_delay_and_lifetime_fit_into_the_overlap(
    rounds: int, figure: Figure, tmp_path: Path
) -> None:
    cluster = await a_cluster(tmp_path, overlap=f"{OVERLAP}s", seed=7)
    replaced = 0

    while cluster.traffic.accepted < rounds:
        cluster.world.edit(serial=replaced + 2)
        await cluster.live()
        while cluster.state() != ("Active", replaced + 2):
            await cluster.live()
        replaced += 1

    assert cluster.traffic.refused == []
    assert LONGEST_DELAY + LIFETIME <= OVERLAP
    figure(f"{cluster.traffic.accepted} tokens in {replaced} replacements, {len(cluster.traffic.refused)} refused")


async def test_the_test_sees_a_refusal_if_delay_and_lifetime_do_not_fit(tmp_path: Path) -> None:
    cluster = await a_cluster(tmp_path, overlap="60s", seed=7)

    cluster.world.edit(serial=2)
    for _ in range(40):
        await cluster.live()

    assert cluster.traffic.refused != []


@pytest.mark.proof(gate=2, soak=50)
async def test_a_replacement_at_once_refuses_nothing_after_the_last_service_has_read(
    rounds: int, figure: Figure, tmp_path: Path
) -> None:
    cluster = await a_cluster(tmp_path, overlap="0s", seed=11)
    counted, after = 0, 0

    for number in range(rounds):
        cluster.world.edit(serial=number + 2)
        while cluster.state() != ("Active", number + 2):
            await cluster.live()
        while not cluster.traffic.all_sign_with(cluster.world.object().status.fingerprint or ""):
            await cluster.live()
        last_read = cluster.traffic.now()
        for _ in range(40):
            await cluster.live()
        after += sum(one.signed_at >= last_read for one in cluster.traffic.refused)
        counted += len(cluster.traffic.refused)
        cluster.traffic.refused.clear()

    assert after == 0
    assert counted > 0
    figure(f"{rounds} replacements at once: {counted} tokens refused, {after} signed after the last service has read")


async def test_r44_r46_a_service_of_another_namespace_signs_and_a_program_in_another_language_verifies(
    tmp_path: Path,
) -> None:
    cluster = await a_cluster(tmp_path, overlap="10m", seed=1)
    first, second, _ = cluster.traffic.services

    token = first.keys.sign("artifactory", {"scope": "read"})

    assert second.keys.verify(token)["scope"] == "read"
    assert (
        service_token.verify(token, service_token.load(second.mount.folder), now=cluster.traffic.now())["aud"]
        == "jpd-1"
    )
    own = service_token.sign(service_token.load(second.mount.folder), "access", now=cluster.traffic.now())
    assert first.keys.verify(own)["iss"] == "access"


async def test_r49_a_service_with_the_key_of_another_cluster_is_refused_by_name(tmp_path: Path) -> None:
    ours = await a_cluster(tmp_path / "ours", overlap="10m", seed=1)
    theirs = await a_cluster(tmp_path / "theirs", overlap="0s", seed=1)
    theirs.world.edit(serial=2)
    while theirs.state() != ("Active", 2):
        await theirs.live()
    theirs.traffic.kubelets_read(at_once=True)

    token = theirs.traffic.services[0].keys.sign("artifactory")

    held, named = ours.world.held()[0].fingerprint, theirs.world.held()[0].fingerprint
    with pytest.raises(InvalidServiceTokenError) as refused:
        ours.traffic.services[1].keys.verify(token)
    assert str(refused.value) == f"join key mismatch (token kid {named}, local kid {held})"


async def test_the_files_of_a_mount_are_those_that_the_page_describes(tmp_path: Path) -> None:
    cluster = await a_cluster(tmp_path, overlap="10m", seed=1)
    cluster.world.edit(serial=2)
    await cluster.world.reconcile()
    cluster.traffic.kubelets_read(at_once=True)

    names = {path.name for path in cluster.traffic.services[0].mount.folder.iterdir() if not path.name.startswith("..")}

    assert names == {"join-key", "join-key-accepted", "key-id", "cluster-name", "services"}
    assert cluster.world.secret(name=OWN) is not None
