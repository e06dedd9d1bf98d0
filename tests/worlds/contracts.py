"""A world for each kind, so that the contract of all reconcilers is tested with each (test_reconciler_contract.py)."""

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.objects.kind import Kind
from tallystick.objects.result import Result
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.schema.meta import Resource
from tests.fakes import FakeClock, FakeCluster, MemoryAudit, MemoryEvents
from tests.worlds.connection_world import ConnectionWorld
from tests.worlds.fleet_contracts import DeviceWorld, TokenRotationWorld
from tests.worlds.join_key_world import JoinKeyWorld
from tests.worlds.master_key_world import MasterKeyWorld
from tests.worlds.master_world import MasterWorld
from tests.worlds.world import World

Json = dict[str, Any]

of_all_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
of_kinds_with_a_secret = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.secret_suffix], ids=lambda kind: kind.resource.kind
)


class ContractWorld(Protocol):
    """One object of a kind, and its reconciler beside an API server in memory.

    The world of a kind with a Secret also has `apply()`, `watch()`, `reconcile(watched=False)`,
    `reconcile_until_done()`, `secret()`, `message()`, `server_clock`, and `reissue()`: it edits the spec so that the
    controller writes another token into the Secret.
    """

    clock: FakeClock
    cluster: FakeCluster
    audit: MemoryAudit
    events: MemoryEvents

    async def settle(self) -> None:
        """Create the object, and let the controller take all its steps. No call stays in `cluster.calls`."""
        ...

    async def obstruct(self) -> None:
        """Create an object, or end one, so that the next look finds that only a user can help."""
        ...

    async def reconcile(self) -> Result:
        """Let the watches catch up, and reconcile the object once; also where there is none."""
        ...

    def restart(self) -> None:
        """Start a controller without a memory."""
        ...

    def edit(self, **spec: Any) -> Json:
        """Change fields of the spec as a user would; the generation rises."""
        ...

    def object(self) -> Any:
        """The object as it is stored, parsed."""
        ...

    def said(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        ...

    def writes(self) -> list[tuple[str, str]]:
        """Verb and plural of the writes since the last call."""
        ...


WORLDS: dict[Resource, Callable[[], ContractWorld]] = {
    PAIRING_TOKENS: World,
    MASTER_TOKENS: MasterWorld,
    CONNECTION_CONFIGURATIONS: ConnectionWorld,
    MASTER_KEYS: MasterKeyWorld,
    JOIN_KEYS: JoinKeyWorld,
    DEVICES: DeviceWorld,
    TOKEN_ROTATIONS: TokenRotationWorld,
}


def world_of(kind: Kind) -> ContractWorld:
    """Make the world of a kind."""
    if kind.resource not in WORLDS:
        pytest.fail(
            f"{kind.resource.kind} is in KINDS, but no world of tests/worlds/contracts.py tests its reconciler: write "
            "a class with the methods of ContractWorld (tests/worlds/world.py is one), and add a line to WORLDS"
        )
    return WORLDS[kind.resource]()


def content(secret: Json) -> tuple[Any, ...]:
    """Return what is ours in a Secret, to compare."""
    meta = secret["metadata"]
    return secret["data"], secret["type"], meta["labels"], meta["ownerReferences"], secret.get("immutable")
