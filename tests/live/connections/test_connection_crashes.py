"""A controller that is killed between any two writes of a connection token orphans nothing and issues nothing twice.

Each story is one object, whose controllers die one after the other at each step of what is to be done, until one is
left to finish.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tallystick.localplane.plane import ControlPlane
from tests.harness.audit_trail import Trail
from tests.harness.connections import (
    a_connection,
    connection_secret_of,
    set_slots,
    slots,
    tokens_of,
    wait_for_active,
)
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.objects import read_token, value_of
from tests.harness.proofs import Figure

__all__ = ["controllers"]

Json = dict[str, Any]

STATUS = "replace_status:connectionconfigurations"
ISSUE = (STATUS, "create:secrets", STATUS)
REVOKE = (STATUS, "replace:secrets")
SWAP = (STATUS, "replace:secrets", STATUS)


@dataclass
class Story:
    """One object, and all that was ever to be seen of its tokens: on record and in the Secret."""

    controllers: Controllers
    body: Json
    values: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set), repr=False)
    ids: dict[str, set[tuple[int, str]]] = field(default_factory=lambda: defaultdict(set))
    deaths: int = 0

    @property
    def secret(self) -> Json:
        return self.controllers.admin.find(connection_secret_of(self.body)) or {}

    def look(self) -> None:
        for token in tokens_of(self.controllers.admin.get(self.body)):
            self.ids[token["slot"]].add((token["serial"], token["tokenID"]))
        secret = self.secret
        for key in secret.get("data", {}):
            if key.startswith("token."):
                self.values[key.removeprefix("token.")].add(value_of(secret, key))

    def die_at_each(self, calls: Sequence[str], *, thorough: bool) -> None:
        """Let a controller die at each of these writes; the next begins where it was.

        Args:
            calls: the writes, in their order.
            thorough: before each and after each. Else only between two of them: what is stored is the same.
        """
        moments = ("before", "after") if thorough else ("after",)
        for call, moment in itertools.product(calls if thorough else calls[:-1], moments):
            self.die(f"{moment}:{call}")

    def die(self, failpoint: str) -> None:
        """Run a controller that finds work to do and is killed in the middle of it."""
        self.controllers.die(failpoint)
        self.deaths += 1
        self.look()

    def finish(self, *names: str) -> Json:
        """Let a controller lead that nobody kills, and return the object when it is at rest."""
        with self.controllers.leading():
            found = wait_for_active(self.controllers.admin, self.body, names)
        self.look()
        return found

    def issued(self) -> set[str]:
        """The ids of the tokens that the audit logs of all controllers say were issued for the object."""
        uid = self.controllers.admin.get(self.body)["metadata"]["uid"]
        logs = self.controllers.folder.glob("audit-*.jsonl")
        lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return {line["token_id"] for line in lines if line["action"] == "issue" and line["uid"] == uid}


def assert_one_token_each(story: Story, found: Json, serials: dict[str, int]) -> None:
    """Each slot has had this one token, by record, Secret and audit log, and no Secret is left over."""
    assert {token["slot"]: token["serial"] for token in tokens_of(found, "Active")} == {
        slot: serial for slot, serial in serials.items() if slot in {one["name"] for one in found["spec"]["tokens"]}
    }
    assert found["status"]["lastSerial"] == max(serials.values())
    assert story.ids.keys() == story.values.keys() == serials.keys()
    for slot, serial in serials.items():
        ((seen, token_id),) = story.ids[slot]
        (value,) = story.values[slot]
        claims = read_token(value).claims
        assert (seen, claims["tallystick"]["serial"], claims["jti"]) == (serial, serial, token_id)
    assert story.issued() == {token_id for ids in story.ids.values() for _, token_id in ids}
    namespace = found["metadata"]["namespace"]
    assert len(story.controllers.admin.find_all("Secret", namespace)) == 1
    assert value_of(story.secret, "token-id") == found["status"]["currentTokenID"]
    assert {key for key in story.secret["data"] if key.startswith("token.")} == {
        f"token.{one['name']}" for one in found["spec"]["tokens"]
    }


@pytest.mark.proof(gate=1, soak=2)
def test_every_token_is_issued_once_though_a_controller_dies_between_any_two_writes(
    controllers: Controllers, vacant_plane: ControlPlane, rounds: int, figure: Figure
) -> None:
    """With more than one round also right before each write and right after the last, and at a mere revocation."""
    thorough, trail, deaths, tokens = rounds > 1, Trail.from_now(vacant_plane.audit_log), 0, 0
    for _ in range(rounds):
        body = a_connection(new_namespace(controllers.admin, "connection-crash"), tokens=slots("old", "keep"))
        story = Story(controllers, body)

        # The first tokens.
        controllers.admin.create(body).must_succeed()
        story.die_at_each(ISSUE, thorough=thorough)
        found = story.finish("old", "keep")
        assert_one_token_each(story, found, {"old": 1, "keep": 2})
        # What a killed one has written is not written again by those that follow.
        assert [write for write in trail.writes(body["metadata"]["namespace"]) if "(" not in write] == [
            "update connectionconfigurations/status dc-west",
            "create secrets dc-west-connection-token",
            "update connectionconfigurations/status dc-west",
        ]

        # One edit revokes one and generates another.
        set_slots(controllers.admin, body, "keep", "new").must_succeed()
        story.die_at_each(SWAP, thorough=thorough)
        found = story.finish("keep", "new")
        assert_one_token_each(story, found, {"old": 1, "keep": 2, "new": 3})
        assert [(token["slot"], token["reason"]) for token in tokens_of(found, "Revoked")] == [("old", "Manual")]

        if thorough:
            set_slots(controllers.admin, body, "keep").must_succeed()
            story.die_at_each(REVOKE, thorough=True)
            found = story.finish("keep")
            assert_one_token_each(story, found, {"old": 1, "keep": 2, "new": 3})
            assert [token["slot"] for token in tokens_of(found, "Revoked")] == ["new", "old"]
        deaths, tokens = deaths + story.deaths, tokens + len(story.issued())
    figure(f"{rounds} objects with 3 slots each: {deaths} kills -9 of the leader, {tokens} tokens")
    assert tokens == 3 * rounds
