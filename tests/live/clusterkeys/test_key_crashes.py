"""A controller that is killed between any two writes of a join key loses no key, and no version has two keys.

One JoinKey with copies in three namespaces is issued, replaced, sealed anew, taken from a namespace, and deleted.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.cluster_keys import a_join_key, a_master_key, a_secret, raise_serial, wait_for_ready
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.key_history import copies_of, join_keys_in, keys_sealed_in, values_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

SEALED, OWN, SHARED, STATUS = "*-join-key-sealed", "jpd-1-join-key", "shared", "replace_status:joinkeys"
MASTER, MASTER_STATUS = "replace:secrets/artifactory-master-key", "replace_status:masterkeys"
ISSUE = (
    f"create:secrets/{SEALED}",
    "replace:joinkeys",
    f"create:secrets/{OWN}",
    f"create:secrets/{SHARED}",
    f"create:secrets/{SHARED}",
    STATUS,
)
CHANGE = (f"replace:secrets/{SEALED}", f"replace:secrets/{OWN}", f"replace:secrets/{SHARED}", STATUS)
ROTATION = (MASTER, MASTER_STATUS, f"replace:secrets/{SEALED}", STATUS, MASTER, MASTER_STATUS)
REMOVAL = (f"delete:secrets/{SHARED}", STATUS)
DELETION = (f"delete:secrets/{SHARED}", "replace:joinkeys")


@dataclass
class Story:
    """One JoinKey, and all that was ever to be seen of its keys."""

    controllers: Controllers
    home: str
    first: str
    second: str
    join_keys: set[str] = field(default_factory=set)
    master_keys: list[str] = field(default_factory=list, repr=False)
    deaths: int = 0

    @classmethod
    def begin(cls, controllers: Controllers) -> "Story":
        story = cls(controllers, *(new_namespace(controllers.admin, "key-crash") for _ in range(3)))
        for body in (story.master, story.body):
            story.api.create(body).must_succeed()
        return story

    @property
    def api(self) -> Api:
        return self.controllers.admin

    @property
    def body(self) -> Json:
        targets = [{"namespace": where, "secretName": SHARED} for where in (self.first, self.second)]
        # Long enough that both phases are to be seen, and over when the next controller leads.
        return a_join_key(self.home, targets=targets, overlap="1s")

    @property
    def master(self) -> Json:
        return a_master_key(self.home)

    @property
    def places(self) -> list[Json]:
        return [
            a_secret(self.home, OWN),
            a_secret(self.first, SHARED),
            a_secret(self.second, SHARED),
        ]

    def die_at_each(self, calls: Sequence[str]) -> None:
        """Let a controller die before and after each of these writes; the next begins where it was."""
        for call, moment in itertools.product(calls, ("before", "after")):
            self.die(f"{moment}:{call}")

    def die(self, failpoint: str, first: Callable[[], object] = lambda: None) -> None:
        self.controllers.die(failpoint, first=first)
        self.deaths += 1
        self.look()

    def look(self) -> None:
        """Note each key that is stored. The one on record is stored somewhere."""
        for value in values_of(self.api.find(a_secret(self.home, "artifactory-master-key")) or {}).values():
            if value not in self.master_keys:
                self.master_keys.append(value)
        secrets = [secret for place in self.places if (secret := self.api.find(place)) is not None]
        shared = join_keys_in({secret["metadata"]["uid"]: secret for secret in secrets})
        stored = {key for keys in shared.values() for key in keys if key}
        body = self.api.find(self.body)
        if body is not None and body["metadata"].get("deletionTimestamp") is None:
            sealed = self.api.find(a_secret(self.home, "jpd-1-join-key-sealed"))
            texts = keys_sealed_in(sealed or {}, *self.master_keys)
            assert "" not in texts.values(), "a sealed copy opens under a master key that was stored"
            assert shared.keys() == set() or texts, "nothing is shared before it is sealed"
            stored |= set(texts.values())
            recorded = body.get("status", {}).get("fingerprint")
            assert recorded is None or recorded in stored
        self.join_keys |= stored

    def ready(self, *, version: int, copies: int = 3) -> None:
        """Wait until one key, of this version, is in all copies and in the sealed one."""
        poll(lambda: self.status().get("keyVersion") == version and "replacement" not in self.status())
        found = wait_for_ready(self.api, self.body, "Shared")
        self.look()
        key = found["status"]["fingerprint"]
        held = {self.name(place): self.api.get(place) for place in self.places[:copies]}
        assert set(join_keys_in(held).values()) == {(key, "")}
        sealed = keys_sealed_in(self.api.get(a_secret(self.home, "jpd-1-join-key-sealed")), *self.master_keys)
        assert sealed == {"join-key.jwe": key}
        assert len(self.join_keys) == version, "one key for each version"
        assert copies_of(self.api, found["metadata"]["uid"], self.home, self.first, self.second) == {
            *held,
            f"{self.home}/jpd-1-join-key-sealed",
        }

    def sealed_anew(self) -> None:
        poll(lambda: self.api.get(self.master)["status"].get("serial") == 2)
        found = wait_for_ready(self.api, self.master, "KeyStored")
        self.look()
        assert len(self.master_keys) == 2, "one master key for each serial"
        assert self.status()["sealed"]["masterKey"] == found["status"]["fingerprint"]
        assert list(values_of(self.api.get(a_secret(self.home, "artifactory-master-key")))) == ["master-key"]

    def gone(self, uid: str) -> None:
        """Wait until the object and all its Secrets are deleted."""
        namespaces = (self.home, self.first, self.second)
        poll(lambda: self.api.find(self.body) is None)
        poll(lambda: copies_of(self.api, uid, *namespaces) == set())

    def status(self) -> Json:
        status: Json = self.api.get(self.body).get("status", {})
        return status

    def replace(self) -> None:
        raise_serial(self.api, self.body)

    def rotate(self) -> None:
        raise_serial(self.api, self.master)

    def share_with_first_only(self) -> None:
        self.api.merge(self.body, {"spec": {"targets": self.body["spec"]["targets"][:1]}}).must_succeed()

    def delete(self) -> None:
        self.api.delete(self.body).must_succeed()

    @staticmethod
    def name(place: Json) -> str:
        return f"{place['metadata']['namespace']}/{place['metadata']['name']}"


def between_two_writes(story: Story) -> str:
    """Die once in each change, where most is half done. What one leads through, the next begins with."""
    issue, change = (tuple(f"after:{call}" for call in calls) for calls in (ISSUE, CHANGE))
    story.die(issue[0])
    story.die(issue[2])

    def then(version: int, edit: Callable[[], None], copies: int = 3) -> Callable[[], None]:
        return lambda: (story.ready(version=version, copies=copies), edit())[1]

    story.die(change[0], then(1, story.replace))
    for failpoint in (change[1], change[3], change[1]):
        story.die(failpoint)
    story.die(f"after:{MASTER}", then(2, story.rotate))
    story.die(change[0])

    def remove() -> None:
        story.sealed_anew()
        story.share_with_first_only()

    story.die(f"after:{REMOVAL[0]}", remove)
    uid: str = story.api.get(story.body)["metadata"]["uid"]
    story.die(f"after:{DELETION[0]}", then(2, story.delete, copies=2))
    return uid


def at_every_write(story: Story) -> str:
    """Die right before and right after each write."""
    story.die_at_each(ISSUE)
    with story.controllers.leading():
        story.ready(version=1)
    story.replace()
    for _ in ("Publishing", "Retiring", "Active"):
        story.die_at_each(CHANGE)
    with story.controllers.leading():
        story.ready(version=2)
    story.rotate()
    story.die_at_each(ROTATION)
    with story.controllers.leading():
        story.sealed_anew()
    story.share_with_first_only()
    story.die_at_each(REMOVAL)
    with story.controllers.leading():
        story.ready(version=2, copies=2)
    uid: str = story.api.get(story.body)["metadata"]["uid"]
    story.delete()
    story.die_at_each(DELETION)
    return uid


@pytest.mark.proof(gate=1, soak=2)
def test_one_key_a_version_and_no_copy_left_though_a_controller_dies_between_any_two_writes(
    controllers: Controllers, rounds: int, figure: Figure
) -> None:
    """With more than one round also right before each write and right after the last."""
    deaths = 0
    for number in range(rounds):
        story = Story.begin(controllers)
        uid = at_every_write(story) if number else between_two_writes(story)
        with controllers.leading():
            story.gone(uid)
        assert len(story.join_keys) == len(story.master_keys) == 2
        deaths += story.deaths
    figure(f"{rounds} join keys of 2 versions: {deaths} kills -9 of the leader, 0 keys lost, 0 copies left behind")
