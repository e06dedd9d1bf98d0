"""An object whose Secrets have its uid in a label is found by each of them, in any namespace and after any edit."""

from typing import Any

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey
from tallystick.controller.cache import ObjectCache
from tallystick.controller.worklist import Worklist
from tallystick.objects.held_secrets import labeled_secret_body
from tallystick.objects.kind import Kind
from tallystick.objects.ownership import SecretForm
from tallystick.objects.result import Result
from tallystick.registry import KINDS
from tallystick.runtime.metrics import make_metrics
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import ObjectMeta
from tests.fakes import FakeClock
from tests.virtual_time import in_background

Json = dict[str, Any]

COPY = SecretForm("-join-key", "example.com/copy", frozenset({"key"}), by_label=True)
KIND = Kind(model=JoinKey, typical={"metadata": {}, "spec": {}}, labeled_secrets=(COPY,))
META = ObjectMeta(name="jpd-1", namespace="edge", uid="uid-of-jpd-1")
ITSELF = (JOIN_KEYS, "edge", "jpd-1")


def a_join_key(name: str = "jpd-1") -> Json:
    meta = {"namespace": "edge", "name": name, "uid": f"uid-of-{name}", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {}}


def a_copy(namespace: str = "rt", *, version: str = "2", **metadata: Any) -> Json:
    body = labeled_secret_body(
        "jpd-1-join-key", COPY, {"key": "a"}, owner=(JOIN_KEYS, META), key_id="jk-1", namespace=namespace
    )
    body["metadata"] |= {"uid": f"copy-in-{namespace}", "resourceVersion": version} | metadata
    return body


def relabeled(**labels: str) -> Json:
    body = a_copy(version="3")
    return body | {"metadata": body["metadata"] | {"labels": labels}}


@pytest.fixture
def cache() -> ObjectCache:
    cache = ObjectCache((*KINDS, KIND))
    cache.observe(JOIN_KEYS, "ADDED", a_join_key())
    cache.observe(JOIN_KEYS, "ADDED", a_join_key("jpd-2"))
    return cache


def test_an_object_is_found_by_its_secret_in_another_namespace(cache: ObjectCache) -> None:
    before = cache.touched_by(SECRETS, a_copy())
    cache.observe(SECRETS, "ADDED", a_copy())

    assert (before, cache.touched_by(SECRETS, a_copy())) == ([], [ITSELF])


def test_the_secrets_of_an_object_are_listed_wherever_they_are(cache: ObjectCache) -> None:
    for namespace in ("edge", "rt", "mc"):
        cache.observe(SECRETS, "ADDED", a_copy(namespace))

    assert {secret.namespace for secret in cache.secrets_of(META.uid)} == {"edge", "rt", "mc"}
    assert cache.secrets_of("uid-of-jpd-2") == []


def test_s22_a_secret_that_only_claims_an_object_is_not_listed(cache: ObjectCache) -> None:
    cache.observe(SECRETS, "ADDED", a_copy() | {"type": "Opaque"})
    cache.observe(SECRETS, "ADDED", a_copy("mc") | {"data": {"notes": ""}})

    assert cache.secrets_of(META.uid) == []
    assert cache.touched_by(SECRETS, a_copy()) == [ITSELF]


def test_the_list_follows_a_deletion_and_a_change_of_the_label(cache: ObjectCache) -> None:
    cache.observe(SECRETS, "ADDED", a_copy())
    cache.observe(SECRETS, "ADDED", a_copy("mc"))

    cache.observe(SECRETS, "DELETED", a_copy("mc"))
    other = a_copy()["metadata"]["labels"] | {"tallystick.dev/uid": "uid-of-jpd-2"}
    cache.observe(SECRETS, "MODIFIED", relabeled(**other))

    assert cache.secrets_of(META.uid) == []
    assert [secret.namespace for secret in cache.secrets_of("uid-of-jpd-2")] == ["rt"]


def test_a_kind_whose_secret_has_a_name_of_its_own_is_not_found_by_a_label(cache: ObjectCache) -> None:
    token = KINDS[0]
    body = {"metadata": {"namespace": "edge", "name": "site", "uid": "uid-of-site", "resourceVersion": "1"}}
    cache.observe(token.resource, "ADDED", body | {"spec": {}})

    cache.observe(SECRETS, "ADDED", relabeled(**{"tallystick.dev/uid": "uid-of-site"}))

    assert cache.touched_by(SECRETS, a_copy()) == []


# The work queue.


class Noted:
    """Notes which objects are reconciled."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def reconcile(self, namespace: str, name: str) -> Result:
        self.seen.append(f"{namespace}/{name}")
        return Result()


@pytest.mark.parametrize(
    ("event", "body"),
    [
        pytest.param("DELETED", a_copy(version="3"), id="deleted, or no longer selected by the watch"),
        pytest.param("MODIFIED", a_copy(version="3") | {"data": {"key": "Zm9yZ2Vk"}}, id="edited"),
        pytest.param("MODIFIED", relabeled(), id="all labels removed"),
        pytest.param("MODIFIED", relabeled(**{"tallystick.dev/uid": "another"}), id="another uid"),
    ],
)
async def test_whatever_happens_to_a_secret_queues_the_object_that_it_belonged_to(event: str, body: Json) -> None:
    worklist, noted = Worklist((*KINDS, KIND), FakeClock(), make_metrics()), Noted()
    worklist.observe(JOIN_KEYS, None, a_join_key())
    worklist.observe(SECRETS, None, a_copy())
    worklist.start_leading()
    async with in_background(worklist.run({JOIN_KEYS: noted}, workers=1)):
        await worklist.drain()
        noted.seen.clear()
        worklist.observe(JOIN_KEYS, None, a_join_key("jpd-2"))
        worklist.observe(SECRETS, event, body)
        await worklist.drain()

    assert sorted(noted.seen) == ["edge/jpd-1", "edge/jpd-2"]
