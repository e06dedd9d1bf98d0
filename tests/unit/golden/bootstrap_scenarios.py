"""One scenario for each kind of audit line about the first admin token, and about pairing tokens over HTTP."""

from tallystick.objects.ports import UnavailableError
from tests.fakes import AuditLine
from tests.worlds.bootstrap_world import BootstrapWorld


async def admin_token_is_made_and_ends() -> list[AuditLine]:
    world = BootstrapWorld()
    world.place_trigger()
    world.cluster.fail_next("delete", "configmaps", UnavailableError("no answer"))
    await world.start_until_done()
    world.place_trigger()
    await world.start()
    world.clock.advance(900)
    await world.reconcile()
    return world.audit.lines


BOOTSTRAP_SCENARIOS = (admin_token_is_made_and_ends,)
