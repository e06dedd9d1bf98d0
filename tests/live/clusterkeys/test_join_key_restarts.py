"""A join key survives its controller: what was lost meanwhile comes back. test_key_crashes.py kills it."""

from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.cluster_keys import a_secret, wait_for_ready
from tests.harness.controllers import Controllers, controllers
from tests.harness.join_key_copies import OWN, SEALED, copy_in, places, shared
from tests.harness.processes import poll

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
