"""How signing keys are lost and restored in the worlds of the unit tests, and the reason that each object reports."""

from tallystick.tokens.lost_keys import keyring_missing, keyring_unusable
from tests.builders import a_key, a_keyring

FIRST = a_key("first").key_id


def delete_the_keyring(world):
    world.keys.loss = keyring_missing("op")


def damage_the_keyring(world):
    world.keys.loss = keyring_unusable("op", "the keyring has no usable issuer")


def lose_the_key(world):
    world.keys.held = a_keyring("second")


def restore(world):
    world.keys.loss, world.keys.held = None, a_keyring("first", "second")


LOSSES = {
    delete_the_keyring: "KeyringMissing",
    damage_the_keyring: "KeyringUnusable",
    lose_the_key: "SigningKeyMissing",
}
