"""Rotate the signing keys of a system whose clock a test moves, and see what is published.

`tallystick signing-keys rotate` does the same by the real clock; tests/live/platform/test_issue_keys.py tries it.
"""

import asyncio
from datetime import timedelta
from typing import Any

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import Algorithm
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.objects.labels import CLI_MANAGER
from tallystick.tokens.keyrings import Keyrings
from tests.harness.exchange import Exchange
from tests.harness.system import System

Json = dict[str, Any]

# More than 30 s at once, seen between two looks at one clock, is a clock that nobody may trust (`clock_unsafe`).
STRIDE = timedelta(seconds=25)


def rotate(system: System, algorithm: Algorithm = "ES256") -> Keyring:
    """Add a key by the service that the command line uses, at the time of the system's clock."""

    async def run() -> Keyring:
        async with KubeCluster(Connection(kubeconfig=system.plane.kubeconfig), field_manager=CLI_MANAGER) as cluster:
            keyrings = Keyrings(cluster, system.clock, namespace=DEFAULT_NAMESPACE, issuer=system.up.url)
            return await keyrings.rotate(algorithm)

    return asyncio.run(run())


def published(exchange: Exchange) -> dict[str, Json]:
    """The JWKS of a replica: each key by its id."""
    return {key["kid"]: key for key in exchange.get("/.well-known/jwks.json").must_succeed()["keys"]}


def restart_controller(system: System) -> None:
    """End the controller and start it again. One that begins to lead cares for the keys first."""
    # In good order, however busy the machine is: one that is killed leaves a Lease that has to be waited for.
    system.up.children["controller"].stop(grace=60.0)
    system.up.restart_what_ended(lambda _: None)
