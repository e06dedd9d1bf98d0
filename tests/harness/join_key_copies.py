"""A JoinKey that is shared with further namespaces, and what its copies hold."""

from typing import Any

import pytest

from tallystick.clusterkeys.domain.keys import Purpose
from tests.harness.api import Api
from tests.harness.cluster_keys import a_join_key, a_master_key, a_secret, fingerprint
from tests.harness.controllers import Controllers
from tests.harness.installed import new_namespace
from tests.harness.objects import value_of

Json = dict[str, Any]

OWN, SEALED = "jpd-1-join-key", "jpd-1-join-key-sealed"


@pytest.fixture
def places(controllers: Controllers) -> tuple[str, str, str]:
    """The namespace of the JoinKey, with a MasterKey in it, and two more."""
    api = controllers.admin
    here, first, second = (new_namespace(api, purpose) for purpose in ("join-keys", "rt", "mc"))
    api.create(a_master_key(here)).must_succeed()
    return here, first, second


def shared(places: tuple[str, ...], **spec: Any) -> Json:
    """Build a JoinKey that all but the first namespace are targets of."""
    return a_join_key(places[0], targets=[{"namespace": target} for target in places[1:]], **spec)


def copy_in(api: Api, namespace: str, name: str = OWN) -> dict[str, str]:
    """Return what a copy holds, as text; nothing if there is none."""
    found = api.find(a_secret(namespace, name))
    return {key: value_of(found, key) for key in found["data"]} if found else {}


def held(api: Api, namespace: str) -> list[str]:
    """Return the fingerprints of the keys of a copy: the one that signs first."""
    values = copy_in(api, namespace)
    keys = (values.get("join-key"), values.get("join-key-accepted"))
    return [fingerprint(key, Purpose.JOIN) for key in keys if key is not None]
