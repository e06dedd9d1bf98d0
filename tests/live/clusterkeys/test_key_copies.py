"""A join key on a real API server: what it costs, who holds a Secret that two want, and what is put back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.cluster_keys import (
    JOIN_TYPE,
    a_join_key,
    a_master_key,
    a_secret,
    fresh_key,
    generated_secret_of,
    put,
    wait_for_ready,
)
from tests.harness.controllers import ControllerProcess, Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.key_history import keys_sealed_in, values_of
from tests.harness.objects import condition
from tests.harness.processes import poll

__all__ = ["controllers"]

Json = dict[str, Any]

HOME = "tallystick-system"


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.fixture
def namespace(api: Api) -> str:
    return new_namespace(api, "join-keys")


@pytest.fixture(scope="module")
def leader(controllers: Controllers) -> Iterator[ControllerProcess]:
    with controllers.leading() as process:
        yield process


def made(api: Api, *bodies: Json) -> None:
    for body in bodies:
        api.create(body).must_succeed()


def writes(trail: Trail, *namespaces: str) -> list[str]:
    return [write for where in namespaces for write in trail.writes(where)]


# The writes. These tests start their own controllers, so they come first.


def test_a_join_key_costs_three_writes_one_more_a_target_one_for_the_finalizer_and_later_none(
    controllers: Controllers, api: Api, namespace: str
) -> None:
    trail = Trail.from_now(controllers.plane.audit_log)
    first, second = new_namespace(api, "target"), new_namespace(api, "target")
    alone = a_join_key(namespace, "alone")
    shared = a_join_key(namespace, "shared", targets=[{"namespace": first}, {"namespace": second}])
    with controllers.leading():
        made(api, master := a_master_key(namespace))
        wait_for_ready(api, master, "KeyStored")
        made(api, alone, shared)
        for body in (alone, shared):
            wait_for_ready(api, body, "Shared")
        for body in (alone, shared):
            api.kubectl_apply(body).must_succeed()
            api.kubectl_apply(body).must_succeed()
        poll(lambda: api.get(master)["status"]["joinKeys"] == {"total": 2, "outdated": 0})  # it follows its join keys
        once = trail.settled(api, namespace)
    mark = trail.mark()
    with controllers.leading() as again:
        later = trail.settled(api, namespace, since=mark)
        figures = again.get("/metrics")

    assert later == []
    costs = {
        name: sorted(write for write in once + writes(trail, first, second) if write.split()[2].startswith(name))
        for name in ("alone", "shared")
    }
    assert costs["alone"] == [
        "create secrets alone-join-key",
        "create secrets alone-join-key-sealed",
        "update joinkeys/status alone",
    ]
    assert costs["shared"] == [
        *["create secrets shared-join-key"] * 3,
        "create secrets shared-join-key-sealed",
        "update joinkeys shared",
        "update joinkeys/status shared",
    ]
    assert 'tallystick_join_keys{state="active"} ' in figures


def test_what_was_lost_or_edited_while_no_controller_ran_is_back_sealed_or_not(
    controllers: Controllers, api: Api, namespace: str
) -> None:
    key, target = fresh_key(), new_namespace(api, "target")
    place = a_secret(namespace, "mk", master_key=key)
    sealed = a_join_key(namespace, "sealed", master_key="external", targets=[{"namespace": target}])
    clear = a_join_key(namespace, "clear", targets=[{"namespace": target}])
    unsealed = a_join_key(namespace, "unsealed")
    seal = a_secret(namespace, "unsealed-join-key-sealed")
    external = a_master_key(namespace, "external", external=True, secretRef={"name": "mk"})
    copies = [a_secret(where, f"{name}-join-key") for name in ("sealed", "clear") for where in (namespace, target)]
    with controllers.leading():
        made(api, place, external, a_master_key(namespace), sealed, clear, unsealed)
        for body in (sealed, clear, unsealed):
            wait_for_ready(api, body, "Shared")
        wait_for_ready(api, external, "KeyInMemory")
        before = [api.get(copy)["data"] for copy in copies]
        digest = api.get(unsealed)["status"]["sealed"]["digest"]
    api.delete(copies[0]).must_succeed()
    api.merge(copies[1], {"data": {"key-id": "c3BvaWx0"}}).must_succeed()
    # All clear keys of the other one: they come out of its sealed copy.
    for copy in (*copies[2:], seal):
        api.delete(copy).must_succeed()
    # In `sealed` one key is left, in the copy that was edited.
    with controllers.leading():
        wait_for_ready(api, external, "MasterKeyRequired")
        for copy, data in zip(copies, before, strict=True):
            poll(lambda copy=copy, data=data: (api.find(copy) or {}).get("data") == data)
        poll(lambda: api.get(unsealed)["status"]["sealed"]["digest"] != digest)
        for body in (sealed, clear, unsealed):
            fingerprint = wait_for_ready(api, body, "Shared")["status"]["fingerprint"]
        poll(lambda: drifted(api, namespace) == {"sealed", "clear", "unsealed"})

    master_key = values_of(api.get(generated_secret_of(a_master_key(namespace))))["master-key"]
    assert keys_sealed_in(api.get(seal), master_key) == {"join-key.jwe": fingerprint}


def drifted(api: Api, namespace: str) -> set[str]:
    return {one["involvedObject"]["name"] for one in api.find_all("Event", namespace) if is_drift(one)}


def is_drift(event: Json) -> bool:
    return bool(event["reason"] == "JoinKeyDrift")


def test_named_secrets_of_the_first_start_are_waited_for_and_other_keys_are_generated(
    controllers: Controllers, api: Api
) -> None:
    """The annotation of the keyring says that the first start is over, so it is taken away for a second first one."""
    master, join = a_master_key(HOME, "default"), a_join_key(HOME, "default", master_key="default")
    join_value, first_start = fresh_key(), {"TALLYSTICK_BOOTSTRAP_KEYS": "true"}
    named = first_start | {"TALLYSTICK_BOOTSTRAP_JOIN_KEY_SECRET": "own-join-key"}
    with controllers.leading(**first_start):
        wait_for_ready(api, join, "Shared")
        delete_default_keys(api, master, join)
    keyring = a_secret(HOME, "tallystick-keyring")
    api.merge(keyring, {"metadata": {"annotations": {"tallystick.dev/bootstrap-keys": None}}}).must_succeed()
    api.delete(generated_secret_of(master)).must_succeed()
    with controllers.leading(**named):
        waiting = wait_for_ready(api, join, "WaitingForKey")
        put(api, a_secret(HOME, "own-join-key", JOIN_TYPE, join_key=join_value))
        wait_for_ready(api, join, "Shared")
        wait_for_ready(api, master, "KeyStored")
        shared = values_of(api.get(a_secret(HOME, "default-join-key")))

    assert "Secret tallystick-system/own-join-key does not exist yet" in message(waiting)
    assert shared["join-key"] == join_value
    assert shared["cluster-name"] == "default"


def delete_default_keys(api: Api, master: Json, join: Json) -> None:
    api.delete(join).must_succeed()
    poll(lambda: api.get(master)["status"]["joinKeys"]["total"] == 0)
    api.delete(master).must_succeed()
    poll(lambda: api.find(a_secret(HOME, "default-join-key")) is None)


# One controller for all that follows.


def message(body: Json) -> str:
    return str(condition(body, "Ready")["message"])


def emptied(api: Api, copy: Json) -> None:
    api.merge(copy, {"data": dict.fromkeys(api.get(copy)["data"])}).must_succeed()


def relabeled(api: Api, copy: Json) -> None:
    api.merge(copy, {"metadata": {"labels": {"tallystick.dev/key-id": "jk-000000000000000000000000"}}}).must_succeed()


@pytest.mark.parametrize("change", [emptied, relabeled])
def test_a_copy_that_another_client_changes_is_back_in_both_namespaces(
    api: Api, namespace: str, leader: ControllerProcess, change: Callable[[Api, Json], None]
) -> None:
    target = new_namespace(api, "target")
    body = a_join_key(namespace, targets=[{"namespace": target}])
    copies = [a_secret(where, "jpd-1-join-key") for where in (namespace, target)]
    made(api, a_master_key(namespace), body)
    wait_for_ready(api, body, "Shared")
    before = [seen(api, copy) for copy in copies]

    for copy in copies:
        change(api, copy)

    for copy, stored in zip(copies, before, strict=True):
        poll(lambda copy=copy, stored=stored: api.find(copy) is not None and seen(api, copy) == stored)
    poll(lambda: any(is_drift(one) for one in api.find_all("Event", namespace)))
    wait_for_ready(api, body, "Shared")


def seen(api: Api, copy: Json) -> tuple[Json, Json]:
    found = api.get(copy)
    return found.get("data", {}), found["metadata"]["labels"]


def test_a_controller_leaves_no_core_dump(leader: ControllerProcess) -> None:
    limits = Path(f"/proc/{leader.child.pid}/limits").read_text().splitlines()

    (core,) = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
    assert core == ["0", "0"]
