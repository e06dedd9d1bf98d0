"""One scenario for each kind of audit line about the first admin token, and about pairing tokens over HTTP."""

from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.pairing_request import EXCHANGE_MADE_IT, MADE_BY
from tests.fakes import AuditLine
from tests.worlds.bootstrap_world import BootstrapWorld
from tests.worlds.requesting import PATH, PRESS, Requesting
from tests.worlds.world import NAME, NAMESPACE, World


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


async def pairing_token_of_a_request_expires_unused() -> list[AuditLine]:
    world = World()
    world.apply(ttl="10s")
    mark = {MADE_BY: EXCHANGE_MADE_IT}
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["metadata"].update(annotations=mark))
    await world.reconcile()
    for seconds in (10, 3600):
        world.clock.advance(seconds)
        await world.reconcile()
    return world.audit.lines[1:]


async def requests() -> list[AuditLine]:
    asking = Requesting()
    async with asking.replica.client() as client:
        await asking.ask_by(client, PRESS)
        await asking.ask_by(client, asking.admin_token())
        await asking.ask_by(client, "garbage", issued=False)
        await asking.ask_by(client, PRESS, path=PATH.replace("mission-control", "federated-repo"), issued=False)
    return asking.replica.audit.lines


BOOTSTRAP_SCENARIOS = (admin_token_is_made_and_ends, pairing_token_of_a_request_expires_unused)
REQUEST_SCENARIOS = (requests,)
