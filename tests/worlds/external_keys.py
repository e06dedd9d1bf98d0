"""An external master key of `MasterKeyWorld`: placed, taken into memory, and gone with a restart."""

from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.master_key_world import PROVIDED, MasterKeyWorld

EXTERNAL = {"external": True, "secretRef": {"name": PROVIDED}}
KEY, OTHER = a_master_key("first"), a_master_key("second")
FORM = f'type tallystick.dev/master-key, key "master-key", fingerprint {KEY.fingerprint}'


async def in_memory(world: MasterKeyWorld) -> None:
    """Place a key, and let the controller load it and remove its Secret."""
    world.place(KEY)
    world.apply(**EXTERNAL)
    await world.look()
    await world.reconcile()
    await world.look()
    world.writes()


async def restarted(world: MasterKeyWorld) -> None:
    """Start a controller without the key."""
    world.restart()
    await world.look()
    await world.reconcile()
    world.writes()
