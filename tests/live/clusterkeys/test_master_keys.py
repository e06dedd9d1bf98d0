"""A master key on a real API server: generated, provided, lost, changed, and rotated.

An external key is the subject of test_external_keys.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.cluster_keys import (
    a_join_key,
    a_master_key,
    a_secret,
    fingerprint,
    fingerprints,
    fresh_key,
    generated_secret_of,
    put,
    raise_serial,
    wait_for_ready,
)
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.objects import condition
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

HOME = "tallystick-system"
STATUS, CREATE = "replace_status:masterkeys", "create:secrets/artifactory-master-key"
# The controller lists the Secrets of users every 5 s.
NOTICED_WITHIN = 20.0


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.fixture
def namespace(api: Api) -> str:
    return new_namespace(api, "master-keys")


@pytest.fixture
def leader(controllers: Controllers) -> Iterator[None]:
    with controllers.leading():
        yield


def message(body: Json) -> str:
    return str(condition(body, "Ready")["message"])


def sealed_with(api: Api, body: Json) -> str:
    return str(api.get(body).get("status", {}).get("sealed", {}).get("masterKey", ""))


def test_a_generated_key_costs_two_writes_and_a_restart_and_an_apply_cost_none(
    controllers: Controllers, api: Api, namespace: str
) -> None:
    trail = Trail.from_now(controllers.plane.audit_log)
    body = a_master_key(namespace)

    with controllers.leading():
        api.kubectl_apply(body)
        found = wait_for_ready(api, body, "KeyStored")
        api.kubectl_apply(body)
        first = trail.settled(api, namespace)
    mark = trail.mark()
    with controllers.leading():
        assert trail.settled(api, namespace, since=mark) == []

    secret = api.get(generated_secret_of(body))
    assert first == ["create secrets artifactory-master-key", "update masterkeys/status artifactory"]
    assert fingerprints(secret) == {"master-key": found["status"]["fingerprint"]}
    assert (found["status"]["state"], found["status"]["keySize"]) == ("Active", 256)
    assert "ownerReferences" not in secret["metadata"]


def test_a_provided_key_costs_one_write_and_each_bad_one_says_what_to_do(
    controllers: Controllers, api: Api, namespace: str, leader: None
) -> None:
    trail, body = Trail.from_now(controllers.plane.audit_log), a_master_key(namespace, secretRef={"name": "mk"})
    bad = {
        "InvalidKey": a_secret(namespace, "mk", master_key="abc"),
        "WeakKey": a_secret(namespace, "mk", master_key="ff" * 32),
        "KeyMissing": a_secret(namespace, "mk", other=fresh_key()),
        "WrongSecretType": a_secret(namespace, "mk", "Opaque", master_key=fresh_key()),
    }
    api.create(body).must_succeed()
    wait_for_ready(api, body, "WaitingForKey")

    for reason, secret in bad.items():
        put(api, secret)
        found = wait_for_ready(api, body, reason, seconds=NOTICED_WITHIN)
        assert condition(found, "Stalled")["reason"] == reason
    mark = trail.mark()
    good = fresh_key()
    put(api, a_secret(namespace, "mk", master_key=good.upper() + "\n"))
    found = wait_for_ready(api, body, "KeyStored", seconds=NOTICED_WITHIN)

    assert trail.settled(api, namespace, since=mark) == ["update masterkeys/status artifactory"]
    assert (found["status"]["fingerprint"], found["status"]["source"]) == (fingerprint(good), "Provided")


def test_a_lost_and_a_changed_key_are_named_and_put_back(api: Api, namespace: str, leader: None) -> None:
    body = a_master_key(namespace)
    api.create(body).must_succeed()
    recorded = wait_for_ready(api, body, "KeyStored")["status"]["fingerprint"]
    backup = api.get(generated_secret_of(body))

    api.delete(backup).must_succeed()
    lost = wait_for_ready(api, body, "KeyLost")
    other = fresh_key()
    put(api, a_secret(namespace, "artifactory-master-key", master_key=other))
    changed = wait_for_ready(api, body, "MasterKeyChanged", seconds=NOTICED_WITHIN)
    put(api, a_secret(namespace, "artifactory-master-key") | {"data": backup["data"]})
    restored = wait_for_ready(api, body, "KeyStored", seconds=NOTICED_WITHIN)

    assert (
        f'Create it again with that key (type tallystick.dev/master-key, key "master-key", fingerprint {recorded})'
        in (message(lost))
    )
    assert message(changed).startswith(
        f"Secret {namespace}/artifactory-master-key now holds {fingerprint(other)}, but join keys are sealed with "
        f"{recorded}. Put {recorded} back"
    )
    assert restored["status"]["fingerprint"] == recorded
    assert {one["reason"] for one in api.find_all("Event", namespace)} == {"KeyLost", "MasterKeyChanged"}


def test_a_rotation_seals_every_join_key_again_and_then_forgets_the_old_key(
    api: Api, namespace: str, leader: None
) -> None:
    body, join_keys = a_master_key(namespace), [a_join_key(namespace, f"jpd-{number}") for number in range(3)]
    for one in (body, *join_keys):
        api.create(one).must_succeed()
    for one in join_keys:
        wait_for_ready(api, one, "Shared")
    old = wait_for_ready(api, body, "KeyStored")["status"]["fingerprint"]
    held = [api.get(a_secret(namespace, f"jpd-{number}-join-key"))["data"] for number in range(3)]

    raise_serial(api, body)
    found = wait_for_ready(api, body, "KeyStored")

    new = found["status"]["fingerprint"]
    assert new != old
    assert {sealed_with(api, one) for one in join_keys} == {new}
    assert fingerprints(api.get(generated_secret_of(body))) == {"master-key": new}
    assert [api.get(a_secret(namespace, f"jpd-{number}-join-key"))["data"] for number in range(3)] == held
    assert "MasterKeyRotated" in {one["reason"] for one in api.find_all("Event", namespace)}
    assert found["status"]["joinKeys"] == {"total": 3, "outdated": 0}


def test_a_master_key_that_join_keys_name_cannot_be_deleted_and_its_secret_survives_it(
    api: Api, namespace: str, leader: None
) -> None:
    body, join_key = a_master_key(namespace), a_join_key(namespace)
    for one in (body, join_key):
        api.create(one).must_succeed()
    wait_for_ready(api, join_key, "Shared")
    poll(lambda: api.get(body)["status"]["joinKeys"]["total"] == 1)

    refused = api.delete(body)
    api.delete(join_key).must_succeed()
    poll(lambda: api.get(body)["status"]["joinKeys"]["total"] == 0)
    api.delete(body).must_succeed()

    assert "1 join key names this master key" in refused.message
    assert poll(lambda: api.find(body) is None)
    assert api.find(generated_secret_of(body)) is not None


@pytest.mark.proof(gate=1, soak=3)
def test_a_key_is_generated_once_though_a_controller_dies_at_each_write(
    controllers: Controllers, api: Api, rounds: int, figure: Figure
) -> None:
    """A rotation under such crashes is tried with its join keys (test_key_crashes.py)."""
    deaths = 0
    for _ in range(rounds):
        namespace = new_namespace(api, "master-key-crash")
        body, seen = a_master_key(namespace), set[str]()
        api.create(body).must_succeed()
        for failpoint in (f"after:{CREATE}", f"before:{STATUS}", f"after:{STATUS}"):
            controllers.die(failpoint)
            deaths += 1
            seen |= set(fingerprints(api.find(generated_secret_of(body))).values())
        with controllers.leading():
            found = wait_for_ready(api, body, "KeyStored")
        assert seen == {found["status"]["fingerprint"]}
    figure(f"{rounds} generated master keys: {deaths} kills -9 of the leader, one key each")


def test_the_first_start_makes_the_default_keys_and_no_later_one_makes_them_again(
    controllers: Controllers, api: Api
) -> None:
    master, join = a_master_key(HOME, "default"), a_join_key(HOME, "default", master_key="default")
    with controllers.leading():
        wait_for_ready(api, join, "Shared")
        found = [api.get(one)["spec"] for one in (master, join)]
        api.delete(join).must_succeed()
        poll(lambda: api.get(master)["status"]["joinKeys"]["total"] == 0)
        api.delete(master).must_succeed()
    with controllers.leading():
        sentinel = a_master_key(new_namespace(api, "sentinel"))
        api.create(sentinel).must_succeed()
        wait_for_ready(api, sentinel, "KeyStored")

        assert (api.find(master), api.find(join)) == (None, None)
    assert [("secretRef" in spec, spec["serial"]) for spec in found] == [(False, 1), (False, 1)]
