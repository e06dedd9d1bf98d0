"""How others end a pairing token, or its master token: by a write to the one or the other."""

from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import OTHER_UID, a_redemption, issued_status, raw_pairing_token
from tests.worlds.world import NAME, NAMESPACE


def revoked_in_spec(world):
    world.edit(revoked=True)


def revoked_in_status(world):
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(state="Revoked"))


def going(world):
    world.start_deleting()


def at_a_higher_serial(world):
    world.edit(serial=2)


def pairing_revoked_in_spec(world):
    world.edit(revoked=True)


def pairing_revoked_by_a_holder(world):
    changes = {"state": "Revoked", "revokedThrough": 1}
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(changes))


def pairing_going(world):
    world.start_deleting()


def pairing_gone(world):
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)


def pairing_re_created(world):
    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID)))


def pairing_redeemed_again(world):
    used = {"state": "Used", "serial": 2, "redemption": a_redemption()}
    world.edit(serial=2)
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(used))


def master_revoked_in_spec(world):
    world.edit(MASTER_TOKENS, world.masters()[0].metadata.name, revoked=True)


def master_revoked_by_a_holder(world):
    name = world.masters()[0].metadata.name
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, lambda body: body.update(status={"state": "Revoked"}))


def master_going(world):
    world.start_deleting(MASTER_TOKENS, world.masters()[0].metadata.name)


def master_gone(world):
    world.cluster.remove(MASTER_TOKENS, NAMESPACE, world.masters()[0].metadata.name)


def orphan(world):
    name = world.masters()[0].metadata.name
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, lambda body: body["metadata"].pop("ownerReferences"))
    pairing_gone(world)
