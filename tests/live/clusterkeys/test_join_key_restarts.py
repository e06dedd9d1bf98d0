"""A join key survives its controller: what was lost meanwhile comes back, and a kill -9 at any write costs no key."""

import signal
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.cluster_keys import a_master_key, a_secret, raise_serial, wait_for_ready
from tests.harness.controllers import LEASE, Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.join_key_copies import OWN, SEALED, copy_in, held, places, shared
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers", "places"]

Json = dict[str, Any]


@pytest.fixture
def api(controllers: Controllers) -> Api:
    return controllers.admin


def test_what_was_lost_while_no_controller_ran_is_back_after_the_start(
    controllers: Controllers, api: Api, places: tuple[str, str, str]
) -> None:
    here, rt, _ = places
    api.create(body := shared(places)).must_succeed()
    with controllers.leading():
        wait_for_ready(api, body, "Shared")
        before = copy_in(api, here)
    for name, namespace in ((OWN, here), (SEALED, here)):
        api.delete(a_secret(namespace, name)).must_succeed()
    api.merge(a_secret(rt, OWN), {"data": {"join-key": "Zm9yZ2Vk"}}).must_succeed()

    with controllers.leading():
        poll(lambda: copy_in(api, here) == copy_in(api, rt) == before)
        poll(lambda: api.find(a_secret(here, SEALED)) is not None)


@pytest.mark.proof(gate=1, soak=5)
def test_one_key_for_each_version_though_a_controller_dies_at_each_write(
    controllers: Controllers, api: Api, rounds: int, figure: Figure
) -> None:
    deaths = 0
    for _ in range(rounds):
        places = tuple(new_namespace(api, purpose) for purpose in ("join-crash", "rt"))
        body, signed = shared(places, overlap="0s"), set[str]()
        with controllers.leading():
            api.create(a_master_key(places[0])).must_succeed()
            wait_for_ready(api, a_master_key(places[0]), "KeyStored")
        api.create(body).must_succeed()
        for failpoint in ("after:create:secrets", "after:replace:joinkeys", "before:replace_status:joinkeys"):
            deaths += _die(controllers, failpoint)
            signed |= {keys[0] for namespace in places if (keys := held(api, namespace))}
        with controllers.leading():
            first = wait_for_ready(api, body, "Shared")["status"]["fingerprint"]
        assert signed <= {first}

        raise_serial(api, body)
        for failpoint in ("after:replace:secrets", "after:replace_status:joinkeys", "after:replace:secrets"):
            deaths += _die(controllers, failpoint)
            signed |= {held(api, namespace)[0] for namespace in places}
        with controllers.leading():
            poll(lambda body=body: api.get(body)["status"]["keyVersion"] == 2)
            second = wait_for_ready(api, body, "Shared")["status"]["fingerprint"]
        assert signed <= {first, second}
        assert [held(api, namespace) for namespace in places] == [[second]] * 2

        api.delete(body).must_succeed()
        deaths += _die(controllers, "after:delete:secrets")
        with controllers.leading():
            poll(lambda body=body: api.find(body) is None)
        assert copy_in(api, places[1]) == {}
    figure(
        f"{rounds} join keys, each shared, replaced and deleted: {deaths} kills -9 of the leader, 0 copies left behind"
    )


def _die(controllers: Controllers, failpoint: str) -> int:
    """Run a controller that is killed at this call, and return 1."""
    controllers.admin.delete(LEASE)
    process = controllers._spawn(failpoint)
    try:
        poll(lambda: process.ended)
        assert process.child.wait(10.0) == -signal.SIGKILL, process.child.exit_text()
    finally:
        process.child.stop()
    return 1
