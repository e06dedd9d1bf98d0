"""Services that mount copies of one join key, each reading it in its own time, and the tokens between them.

The services use the real module on folders as kubelet writes them. Time is an argument, so delays are exact.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tallystick.clusterkeys.client import InvalidServiceTokenError, JoinKeys
from tests.worlds.mounted_keys import MountedSecret

# In seconds. A delay and the life of a token fit into the overlap together.
OVERLAP, LONGEST_DELAY, LIFETIME = 600, 240, 360
# The longest step of the clock. What comes due within a step is done at its end, so it is planned that much earlier.
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

    @property
    def signs_with(self) -> str:
        return self.keys.membership().signing.fingerprint


@dataclass(frozen=True)
class InFlight:
    """A token on its way to another service, which gets it at some time before it expires."""

    token: str
    sender: Service
    receiver: Service
    signed_at: float
    arrives_at: float


@dataclass
class ServiceTraffic:
    """The services of one cluster, and what became of their tokens.

    Attributes:
        homes: The namespace of each service.
        folder: Where their mounts are.
        copy_in: Returns the copy of a namespace as it is stored; None if there is none.
        now: Returns the time, in seconds since 1970.
        dice: Decides delays and receivers.
    """

    homes: Mapping[str, str]
    folder: Path
    copy_in: Callable[[str], Mapping[str, Any] | None]
    now: Callable[[], float]
    dice: random.Random
    lifetime: int = LIFETIME
    services: list[Service] = field(default_factory=list)
    on_the_way: list[InFlight] = field(default_factory=list)
    accepted: int = 0
    refused: list[InFlight] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, namespace in self.homes.items():
            mount = MountedSecret(self.folder / name)
            self.services.append(Service(name, namespace, mount, JoinKeys(mount.folder, now=self.now)))

    def step(self) -> float:
        """Return how many seconds go by until the next turn."""
        return self.dice.uniform(1, LONGEST_STEP)

    def turn(self) -> None:
        """Do what is due: kubelets read, and services sign and verify."""
        self.kubelets_read()
        self.send()
        self.receive()

    def kubelets_read(self, *, at_once: bool = False) -> None:
        for service in self.services:
            if at_once or self.now() >= service.next_read:
                service.mount.write_secret(self.copy_in(service.namespace) or {})
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

    def all_sign_with(self, fingerprint: str) -> bool:
        return {service.signs_with for service in self.services} == {fingerprint}
