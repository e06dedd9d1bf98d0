"""Many join keys get another master key while controllers are killed: each one can be opened at every moment.

Every stored version of each sealed copy is opened by another library, with the old master key and with the new one.
"""

import base64
import random
from collections import Counter
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.cluster_keys import (
    a_join_key,
    a_master_key,
    a_secret,
    fingerprint,
    generated_secret_of,
    raise_serial,
    wait_for_ready,
)
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.key_history import SealedHistory, keys_sealed_in, values_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

SEAL = "replace:secrets/*-join-key-sealed"
# Of so many join keys there is one more kill.
A_KILL = 20
MOST_KILLS = 20


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


def master_key_in(api: Api, body: Json) -> str:
    return values_of(api.get(generated_secret_of(body)))["master-key"]


def sealed_of(api: Api, namespace: str) -> dict[str, Json]:
    found = api.find_all("Secret", namespace, fieldSelector="type=tallystick.dev/sealed-join-key")
    return {one["metadata"]["name"]: one for one in found if one["metadata"]["name"].endswith("-join-key-sealed")}


def are_shared(api: Api, namespace: str, count: int) -> bool:
    found = api.find_all("JoinKey", namespace)
    return sum(one.get("status", {}).get("fingerprint") is not None for one in found) == count


def kill_at_random(controllers: Controllers, count: int, kills: int) -> int:
    """Kill as many controllers, each when it has sealed some of its join keys anew, and return how many."""
    lots = random.SystemRandom()
    for _ in range(kills):
        nth = lots.randint(1, max(1, count // (kills + 2)))
        controllers.die(f"{lots.choice(('before', 'after'))}:{SEAL}:{nth}")
    return kills


@pytest.mark.parametrize("old_key", ["there", "lost"])
@pytest.mark.proof(gate=40, soak=1_000)
def test_every_version_of_a_sealed_copy_opens_though_controllers_die_at_random_points_of_a_rotation(
    controllers: Controllers, api: Api, old_key: str, rounds: int, figure: Figure
) -> None:
    namespace, count = new_namespace(api, "key-rotation"), rounds
    body = a_master_key(namespace)
    api.create(body).must_succeed()
    for number in range(count):
        api.create(a_join_key(namespace, f"jpd-{number}")).must_succeed()
    with controllers.leading():
        poll(lambda: are_shared(api, namespace, count), seconds=600.0)
    old = master_key_in(api, body)
    recorded = {one["metadata"]["name"]: one["status"]["fingerprint"] for one in api.find_all("JoinKey", namespace)}
    shared = {name: api.get(a_secret(namespace, f"{name}-join-key"))["data"] for name in recorded}

    if old_key == "lost":
        api.delete(generated_secret_of(body)).must_succeed()
    raise_serial(api, body)
    with SealedHistory.of(api, namespace) as history:
        kills = kill_at_random(controllers, count, min(MOST_KILLS, count // A_KILL))
        with controllers.leading():
            found = poll(lambda: at_rest(api, body), seconds=600.0)
        seen = history.versions()
    new = master_key_in(api, body)

    snapshots = [one for one in seen if one["metadata"]["name"].endswith("-join-key-sealed")]
    under: Counter[str] = Counter()
    for one in snapshots:
        name = one["metadata"]["name"].removesuffix("-join-key-sealed")
        under.update(key for key in (old, new) if keys_sealed_in(one, key) == {"join-key.jwe": recorded[name]})
    assert under.total() == len(snapshots), "each version opens under one of the two keys, as the key on record"
    figure(f"{count} join keys, {kills} kills -9, old key {old_key}: {len(snapshots)} versions, 0 open under neither")

    assert fingerprint(new) == found["status"]["fingerprint"] != fingerprint(old)
    assert values_of(api.get(generated_secret_of(body))) == {"master-key": new}
    held = {f"{name}-join-key-sealed": {"join-key.jwe": key} for name, key in recorded.items()}
    assert {name: keys_sealed_in(one, new) for name, one in sealed_of(api, namespace).items()} == held
    assert {name: api.get(a_secret(namespace, f"{name}-join-key"))["data"] for name in recorded} == shared
    assert {one["metadata"]["name"]: one["status"]["fingerprint"] for one in api.find_all("JoinKey", namespace)} == (
        recorded
    )
    drifted = {one["reason"] for one in api.find_all("Event", namespace)} - {"MasterKeyRotated", "KeyLost"}
    assert drifted == set(), "the controller takes none of its own writes for those of another client"


def at_rest(api: Api, body: Json) -> Json | None:
    found = api.get(body)
    status = found["status"]
    done = status.get("serial") == found["spec"]["serial"] and "previousFingerprint" not in status
    return found if done and status["joinKeys"]["outdated"] == 0 else None


def test_an_old_sealed_copy_that_is_put_back_is_replaced(controllers: Controllers, api: Api) -> None:
    """The status names the digest, so a copy from before a rotation is not taken for the present one."""
    namespace = new_namespace(api, "key-rollback")
    body, join_key = a_master_key(namespace), a_join_key(namespace)
    place = a_secret(namespace, "jpd-1-join-key-sealed")
    for one in (body, join_key):
        api.create(one).must_succeed()
    with controllers.leading():
        first = wait_for_ready(api, join_key, "Shared")["status"]["fingerprint"]
        before, old = api.get(place)["data"], master_key_in(api, body)
        raise_serial(api, body)
        poll(lambda: at_rest(api, body))
        new = master_key_in(api, body)

        api.merge(place, {"data": before}).must_succeed()
        poll(lambda: keys_sealed_in(api.get(place), new) == {"join-key.jwe": first})

    assert keys_sealed_in(api.get(place), old) == {"join-key.jwe": ""}
    assert base64.b64decode(before["join-key.jwe"]) != values_of(api.get(place))["join-key.jwe"].encode()
