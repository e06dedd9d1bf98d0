"""Services in three namespaces read a key that is being replaced, each in its own time, and go on trusting each other.

The controller is the real reconciler, and the services use the real module on folders as kubelet writes them. Time is
a clock that the test moves, so delays are exact.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tallystick.clusterkeys.client import InvalidServiceTokenError, JoinKeys
from tests.harness.proofs import Figure
from tests.interop import service_token
from tests.worlds.join_key_world import NAMESPACE, OWN, JoinKeyWorld, targets
from tests.worlds.mounted_keys import MountedSecret

SERVICES = {"artifactory": NAMESPACE, "access": "rt", "xray": "mc"}
OVERLAP, LONGEST_DELAY, LIFETIME = 600, 240, 360
LONGEST_STEP = 20
TOKENS_AT_ONCE = 5


@dataclass
class Service:
    """One service, with its mounted Secret. `next_read` is when kubelet looks at the Secret again."""

    name: str
    namespace: str
    mount: MountedSecret
    keys: JoinKeys
    next_read: float = 0.0


@dataclass(frozen=True)
class InFlight:
    """A token on its way to another service, which gets it at some time before it expires."""

    token: str
    sender: Service
    receiver: Service
    signed_at: float
    arrives_at: float


@dataclass
class Cluster:
    """The services of one cluster, and what became of their tokens."""

    world: JoinKeyWorld
    folder: Path
    dice: random.Random
    lifetime: int = LIFETIME
    services: list[Service] = field(default_factory=list)
    on_the_way: list[InFlight] = field(default_factory=list)
    accepted: int = 0
    refused: list[InFlight] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, namespace in SERVICES.items():
            mount = MountedSecret(self.folder / name)
            self.services.append(Service(name, namespace, mount, JoinKeys(mount.folder, now=self.now)))

    def now(self) -> float:
        return self.world.clock.now().timestamp()

    def kubelets_read(self, *, at_once: bool = False) -> None:
        for service in self.services:
            if at_once or self.now() >= service.next_read:
                service.mount.write_secret(self.world.secret(service.namespace) or {})
                # The next look is early enough for the step of the clock that may pass over it.
                service.next_read = self.now() + self.dice.uniform(0, LONGEST_DELAY - LONGEST_STEP)

    def send(self) -> None:
        for sender in self.services * TOKENS_AT_ONCE:
            receiver = self.dice.choice(self.services)
            token = sender.keys.sign(sender.name, lifetime=self.lifetime)
            arrives = self.now() + self.dice.uniform(0, self.lifetime - LONGEST_STEP)
            self.on_the_way.append(InFlight(token, sender, receiver, self.now(), arrives))

    def receive(self) -> None:
        arrived = [one for one in self.on_the_way if self.now() >= one.arrives_at]
        self.on_the_way = [one for one in self.on_the_way if self.now() < one.arrives_at]
        for one in arrived:
            try:
                claims = one.receiver.keys.verify(one.token)
            except InvalidServiceTokenError:
                self.refused.append(one)
                continue
            assert claims["iss"] == one.sender.name
            self.accepted += 1

    async def live(self) -> None:
        """Let a little time pass: the controller, the kubelets and the services do what is due."""
        self.world.clock.advance(self.dice.uniform(1, LONGEST_STEP))
        await self.world.reconcile()
        self.kubelets_read()
        self.send()
        self.receive()

    def state(self) -> tuple[str, int | None]:
        status = self.world.object().status
        return str(status.state), status.key_version


async def a_cluster(folder: Path, *, overlap: str, seed: int) -> Cluster:
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt", "mc"), services=list(SERVICES), overlap=overlap)
    cluster = Cluster(world, folder, random.Random(seed))  # noqa: S311 - the delays of a test, the same for a seed
    cluster.kubelets_read(at_once=True)
    return cluster


@pytest.mark.proof(gate=1_000, soak=10_000)
async def test_a_replacement_refuses_no_token_if_delay_and_lifetime_fit_into_the_overlap(
    rounds: int, figure: Figure, tmp_path: Path
) -> None:
    cluster = await a_cluster(tmp_path, overlap=f"{OVERLAP}s", seed=7)
    replaced = 0

    while cluster.accepted < rounds:
        cluster.world.edit(serial=replaced + 2)
        await cluster.live()
        while cluster.state() != ("Active", replaced + 2):
            await cluster.live()
        replaced += 1

    assert cluster.refused == []
    assert LONGEST_DELAY + LIFETIME <= OVERLAP
    figure(f"{cluster.accepted} tokens in {replaced} replacements, {len(cluster.refused)} refused")


async def test_the_test_sees_a_refusal_if_delay_and_lifetime_do_not_fit(tmp_path: Path) -> None:
    cluster = await a_cluster(tmp_path, overlap="60s", seed=7)

    cluster.world.edit(serial=2)
    for _ in range(40):
        await cluster.live()

    assert cluster.refused != []


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
        while len({service.keys.membership().signing.fingerprint for service in cluster.services}) > 1 or (
            cluster.services[0].keys.membership().signing.fingerprint != cluster.world.object().status.fingerprint
        ):
            await cluster.live()
        last_read = cluster.now()
        for _ in range(40):
            await cluster.live()
        after += sum(one.signed_at >= last_read for one in cluster.refused)
        counted += len(cluster.refused)
        cluster.refused.clear()

    assert after == 0
    assert counted > 0
    figure(f"{rounds} replacements at once: {counted} tokens refused, {after} signed after the last service has read")


async def test_r44_r46_a_service_of_another_namespace_signs_and_a_program_in_another_language_verifies(
    tmp_path: Path,
) -> None:
    cluster = await a_cluster(tmp_path, overlap="10m", seed=1)
    first, second, _ = cluster.services

    token = first.keys.sign("artifactory", {"scope": "read"})

    assert second.keys.verify(token)["scope"] == "read"
    assert service_token.verify(token, service_token.load(second.mount.folder), now=cluster.now())["aud"] == "jpd-1"
    own = service_token.sign(service_token.load(second.mount.folder), "access", now=cluster.now())
    assert first.keys.verify(own)["iss"] == "access"


async def test_r49_a_service_with_the_key_of_another_cluster_is_refused_by_name(tmp_path: Path) -> None:
    ours = await a_cluster(tmp_path / "ours", overlap="10m", seed=1)
    theirs = await a_cluster(tmp_path / "theirs", overlap="0s", seed=1)
    theirs.world.edit(serial=2)
    while theirs.state() != ("Active", 2):
        await theirs.live()
    theirs.kubelets_read(at_once=True)

    token = theirs.services[0].keys.sign("artifactory")

    held, named = ours.world.held()[0].fingerprint, theirs.world.held()[0].fingerprint
    with pytest.raises(InvalidServiceTokenError) as refused:
        ours.services[1].keys.verify(token)
    assert str(refused.value) == f"join key mismatch (token kid {named}, local kid {held})"


async def test_the_files_of_a_mount_are_those_that_the_page_describes(tmp_path: Path) -> None:
    cluster = await a_cluster(tmp_path, overlap="10m", seed=1)
    cluster.world.edit(serial=2)
    await cluster.world.reconcile()
    cluster.kubelets_read(at_once=True)

    names = {path.name for path in cluster.services[0].mount.folder.iterdir() if not path.name.startswith("..")}

    assert names == {"join-key", "join-key-accepted", "key-id", "cluster-name", "services"}
    assert cluster.world.secret(name=OWN) is not None
