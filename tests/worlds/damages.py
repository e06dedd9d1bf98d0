"""What others do to a Secret of ours, in either world of these tests."""

from tallystick.schema.builtin import SECRETS


def edit_secret(world, change):
    meta = world.secret()["metadata"]
    return world.cluster.edit(SECRETS, meta["namespace"], meta["name"], change)


def delete(world):
    meta = world.secret()["metadata"]
    world.cluster.remove(SECRETS, meta["namespace"], meta["name"])


def edit_the_token(world):
    edit_secret(world, lambda body: body["data"].update(token="Zm9yZ2Vk"))


def empty_it(world):
    edit_secret(world, lambda body: body.update(data={}))


def strip_the_labels(world):
    edit_secret(world, lambda body: body["metadata"].update(labels={}))


def change_a_label(world):
    edit_secret(world, lambda body: body["metadata"]["labels"].update({"tallystick.dev/token-id": "forged"}))


def damage_and_make_immutable(world):
    edit_secret(world, lambda body: body.update(data={"token": "Zm9yZ2Vk"}, immutable=True))


def edit_the_owner(world):
    edit_secret(world, lambda body: body["metadata"]["ownerReferences"][0].update(name="renamed"))


def recreate_with_another_token(world):
    body = world.secret() | {"data": {"token": "Zm9yZ2Vk"}}
    delete(world)
    world.cluster.put(SECRETS, body | {"metadata": {k: v for k, v in body["metadata"].items() if k != "uid"}})
