"""One scenario for each kind of audit line about join keys and master keys."""

from tests.fakes import AuditLine
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.join_key_world import NAMESPACE, OWN, PROVIDED, SEALED, JoinKeyWorld, targets
from tests.worlds.master_key_world import PROVIDED as PROVIDED_MASTER
from tests.worlds.master_key_world import MasterKeyWorld

OVERLAP_SECONDS = 600


async def join_key_is_generated_shared_healed_and_replaced() -> list[AuditLine]:
    world = JoinKeyWorld()
    world.open_master(a_master_key())
    await world.issue(targets=targets("rt"))
    for namespace in (NAMESPACE, "rt"):
        world.delete_secret(namespace, OWN)
    await world.reconcile()
    world.edit(serial=2)
    await world.reconcile()
    for _ in ("it signs", "the old one is forgotten"):
        world.clock.advance(OVERLAP_SECONDS)
        await world.reconcile()
    world.edit(targets=None)
    await world.reconcile()
    return world.audit.lines


async def join_key_is_imported_and_sealed_again() -> list[AuditLine]:
    world = JoinKeyWorld()
    world.open_master(a_master_key())
    world.provide(a_join_key())
    await world.issue(secretRef={"name": PROVIDED})
    world.delete_secret(NAMESPACE, OWN)
    await world.reconcile()
    world.clock.advance(OVERLAP_SECONDS)
    world.delete_secret(NAMESPACE, SEALED)
    await world.reconcile()
    world.open_master(a_master_key("second"), a_master_key())
    await world.reconcile()
    return world.audit.lines


async def join_key_of_a_user_is_weak() -> list[AuditLine]:
    world = JoinKeyWorld()
    world.open_master(a_master_key())
    await world.obstruct()
    await world.reconcile()
    return world.audit.lines


async def master_key_is_generated_and_rotated() -> list[AuditLine]:
    world = MasterKeyWorld()
    await world.issue()
    world.put_join_key("jpd-1", sealed_with=world.object().status.fingerprint)
    world.rotate()
    await world.reconcile()
    world.seal_all()
    for _ in range(2):
        world.clock.advance(OVERLAP_SECONDS)
        await world.reconcile()
    return world.audit.lines


async def master_key_is_loaded_removed_and_placed_again() -> list[AuditLine]:
    world = MasterKeyWorld()
    world.place(a_master_key())
    await world.issue(external=True, secretRef={"name": PROVIDED_MASTER})
    await world.look()
    await world.reconcile()
    world.restart()
    await world.look()
    await world.reconcile()
    world.place(a_master_key())
    await world.look()
    await world.reconcile()
    return world.audit.lines


async def master_key_is_imported_and_lost() -> list[AuditLine]:
    world = MasterKeyWorld()
    world.place(a_master_key())
    await world.issue(secretRef={"name": PROVIDED_MASTER})
    world.place(a_master_key("second"))
    await world.look()
    await world.reconcile()
    return world.audit.lines


KEY_SCENARIOS = (
    join_key_is_generated_shared_healed_and_replaced,
    join_key_is_imported_and_sealed_again,
    join_key_of_a_user_is_weak,
    master_key_is_generated_and_rotated,
    master_key_is_loaded_removed_and_placed_again,
    master_key_is_imported_and_lost,
)
