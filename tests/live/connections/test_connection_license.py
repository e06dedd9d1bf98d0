"""Licenses and ages of connection tokens by a clock that moves: the end exact to the second, and years without one.

By a clock of its own, which moves by years; and the controller is stopped and started here.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import urllib3

from tallystick.crypto.keyring import PUBLISH_FOR
from tallystick.install.installation import CONTROLLER
from tallystick.schema.times import rfc3339, whole_second
from tallystick.tokens.keyrings import RETIRE_GRACE, stored_keyring
from tests.harness.api import Api
from tests.harness.connections import (
    a_connection,
    connected,
    connection_secret_of,
    set_slots,
    slots,
    token_in,
    tokens_of,
    wait_for_active,
)
from tests.harness.objects import condition, read_token, wait_for_reason
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.rotation import published, restart_controller, rotate
from tests.harness.system import System

__all__ = ["own_system"]

Json = dict[str, Any]

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
HALF_A_YEAR, A_YEAR = timedelta(hours=4380), timedelta(hours=8760)
KEYRING = {"kind": "Secret", "metadata": {"name": "tallystick-keyring", "namespace": "tallystick-system"}}
# After a jump of the clock two looks at it may differ, and then it is asked again only 30 s later.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class World:
    """A system whose clock is this file's alone, and a namespace in it."""

    system: System
    site: Site

    @property
    def api(self) -> Api:
        return self.site.api

    def end(self, after: timedelta) -> datetime:
        """A whole second that is so far away."""
        return whole_second(self.system.clock.now() + after)

    def good_by_introspection(self, token: str) -> bool:
        answer = self.site.exchange.introspect(token, self.site.bearer, deployment_type="Kubernetes").must_succeed()
        return bool(answer["active"])

    def beat(self, token: str, name: str) -> tuple[int, str]:
        answer = self.site.exchange.heartbeat(token, f"{self.site.namespace}/{name}")
        return answer.status, answer.description

    def at_rest(self, body: Json, *names: str) -> Json:
        return wait_for_active(self.api, body, names, seconds=PATIENCE)

    @contextmanager
    def without_a_controller(self) -> Iterator[None]:
        """Stop the controller where it is; afterwards it goes on, or, where its Lease is lost, another one does."""
        pid = self.system.up.children["controller"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            # A clock that stands would stand for the controller, too.
            self.system.clock.advance(timedelta(0))
            os.kill(pid, signal.SIGCONT)

    def metrics(self) -> dict[str, float]:
        page = urllib3.request("GET", f"{self.system.up.health_url(CONTROLLER)}/metrics", retries=False, timeout=60.0)
        lines = re.findall(r"^(tallystick_\S+) (\S+)$", page.data.decode(), re.MULTILINE)
        return {name: float(value) for name, value in lines}

    def care_for_keys(self) -> set[str]:
        """Let a controller begin to lead, which cares for the keys; return those that are left."""
        restart_controller(self.system)

        def cared() -> bool:
            try:
                return self.metrics().get("tallystick_keyring_age_seconds", 0.0) > 0
            except urllib3.exceptions.HTTPError:
                return False

        poll(cared)
        return {entry.key.key_id for entry in stored_keyring(self.api.get(KEYRING)).entries}


@pytest.fixture(scope="module")
def world(own_system: OwnSystem) -> World:
    return World(own_system, own_system.site("license"))


def values_in(api: Api, body: Json) -> set[str]:
    """The keys of tokens in the Secret."""
    return {key for key in api.get(connection_secret_of(body))["data"] if key.startswith("token")}


def reasons(found: Json) -> set[tuple[str, str | None]]:
    return {(token["state"], token.get("reason")) for token in tokens_of(found)}


def test_r35_a_license_ends_at_its_second_though_the_controller_is_stopped(world: World) -> None:
    api, clock, site = world.api, world.system.clock, world.site
    end = world.end(HOUR)
    exact = a_connection(site.namespace, "exact", tokens=slots("old", "new"), licenseExpiresAt=rfc3339(end))
    moved = a_connection(site.namespace, "moved", tokens=slots("old", "new"), licenseExpiresAt=rfc3339(end))
    before = [connected(api, body) for body in (exact, moved)]
    assert [condition(found, "LicenseValid")["status"] for found in before] == ["True", "True"]
    tokens = {slot: token_in(api, exact, slot) for slot in ("old", "new")}
    late = [token_in(api, moved, slot) for slot in ("old", "new")]
    gone = f"the license of {site.namespace}/exact expired at {rfc3339(end)}"

    with world.without_a_controller():
        for early in (SECOND, MILLISECOND):
            clock.stand_at(end - early)
            assert all(world.good_by_introspection(token) for token in tokens.values())
            assert [world.beat(token, "exact")[0] for token in tokens.values()] == [204, 204]
        for passed in (timedelta(0), MILLISECOND, SECOND):
            clock.stand_at(end + passed)
            assert not any(world.good_by_introspection(token) for token in tokens.values())
            assert [world.beat(token, "exact") for token in tokens.values()] == [(401, gone)] * 2
        # Nobody has recorded it: it is the exchange that knows.
        assert reasons(api.get(exact)) == {("Active", None)}

        # A later date comes too late: what had ended stays dead.
        api.merge(moved, {"spec": {"licenseExpiresAt": rfc3339(end + YEAR)}}).must_succeed()
        # The exchange shares what it has read for a second at most: from then on it knows the later date.
        known = time.monotonic() + 1.2
        while time.monotonic() < known:
            assert not any(world.good_by_introspection(token) for token in late)
        assert {world.beat(token, "moved")[0] for token in late} == {401}
        assert not any(world.good_by_introspection(token) for token in late)

    ended = wait_for_reason(api, exact, "LicenseExpired", seconds=PATIENCE)
    to_renew = "to issue a new one, set a later spec.licenseExpiresAt"
    text = f"license expired at {rfc3339(end)}; all tokens are revoked; {to_renew}"
    assert reasons(ended) == {("Revoked", "LicenseExpired")}
    assert {kind: condition(ended, kind)["status"] for kind in ("Ready", "Stalled", "LicenseValid")} == {
        "Ready": "False",
        "Stalled": "True",
        "LicenseValid": "False",
    }
    assert {condition(ended, kind)["message"] for kind in ("Ready", "Stalled", "LicenseValid")} == {text}
    poll(lambda: values_in(api, exact) == set())
    events = poll(lambda: [one for one in site.events("LicenseExpired") if one["involvedObject"]["name"] == "exact"])
    assert [event["message"] for event in events] == [text]

    # One new token, for the slot that came last; the old ones are dead for ever.
    renewed = world.at_rest(moved, "new")
    assert [(token["slot"], token["serial"], token["state"]) for token in tokens_of(renewed)] == [
        ("new", 3, "Active"),
        ("new", 2, "Revoked"),
        ("old", 1, "Revoked"),
    ]
    assert renewed["status"]["vacantSlots"] == ["old"]
    assert values_in(api, moved) == {"token", "token-id", "token.new"}
    assert world.good_by_introspection(token_in(api, moved))
    assert not any(world.good_by_introspection(token) for token in late)

    # And so does the other one, when its licence is renewed.
    api.merge(exact, {"spec": {"licenseExpiresAt": None}}).must_succeed()
    after = world.at_rest(exact, "new")
    assert condition(after, "LicenseValid") == condition(after, "Stalled") == {}
    assert world.good_by_introspection(token_in(api, exact))
    assert not any(world.good_by_introspection(token) for token in tokens.values())
    assert [world.beat(token, "exact")[0] for token in tokens.values()] == [401, 401]


def test_a_license_that_is_moved_or_removed_in_time_keeps_its_tokens(world: World) -> None:
    api, clock, namespace = world.api, world.system.clock, world.site.namespace
    end = world.end(HOUR)
    bodies = {
        name: a_connection(namespace, name, licenseExpiresAt=rfc3339(end)) for name in ("later", "removed", "shortened")
    }
    for body in bodies.values():
        connected(api, body)
    tokens = {name: token_in(api, body) for name, body in bodies.items()}
    never = a_connection(namespace, "never", licenseExpiresAt="2026-01-31T00:00:00Z")
    api.create(never).must_succeed()

    api.merge(bodies["later"], {"spec": {"licenseExpiresAt": rfc3339(end + YEAR)}}).must_succeed()
    api.merge(bodies["removed"], {"spec": {"licenseExpiresAt": None}}).must_succeed()
    # The earliest end that is allowed, which has passed.
    issued = tokens_of(api.get(bodies["shortened"]))[0]["issuedTime"]
    api.merge(bodies["shortened"], {"spec": {"licenseExpiresAt": issued}}).must_succeed()
    not_after = {"later": rfc3339(end + YEAR), "removed": None}
    poll(lambda: {name: tokens_of(api.get(bodies[name]))[0].get("notAfter") for name in not_after} == not_after)
    # Made with a licence that is over, it never gets anything.
    unissued = wait_for_reason(api, never, "LicenseExpired")
    assert condition(unissued, "Ready")["message"] == (
        "license expired at 2026-01-31T00:00:00Z; no token was issued; to issue a new one, set a later "
        "spec.licenseExpiresAt"
    )
    assert (tokens_of(unissued), api.find(connection_secret_of(never))) == ([], None)
    wait_for_reason(api, bodies["shortened"], "LicenseExpired")

    clock.advance(2 * HOUR)

    good = {name: world.good_by_introspection(token) for name, token in tokens.items()}
    assert good == {"later": True, "removed": True, "shortened": False}
    assert {name: token_in(api, bodies[name]) for name in ("later", "removed")} == {
        name: tokens[name] for name in ("later", "removed")
    }
    # A date that is still to come issues the first one.
    api.merge(never, {"spec": {"licenseExpiresAt": rfc3339(world.end(HOUR))}}).must_succeed()
    assert tokens_of(world.at_rest(never, "default"))[0]["serial"] == 1


def test_years_later_a_token_is_valid_and_a_rotation_is_recommended_and_then_overdue(world: World) -> None:
    api, clock = world.api, world.system.clock
    body = a_connection(world.site.namespace, "old", tokens=slots("old"))
    issued = datetime.fromisoformat(tokens_of(connected(api, body))[0]["issuedTime"])
    token = token_in(api, body)
    key = read_token(token).header["kid"]

    def reminded() -> set[str]:
        found = api.get(body)["status"]["conditions"]
        assert [one["status"] for one in found if one["type"] == "Ready"] == ["True"]
        return {one["type"] for one in found} - {"Ready"}

    def let_pass(age: timedelta) -> None:
        clock.advance(issued + age - clock.now())

    let_pass(HALF_A_YEAR - HOUR)
    assert reminded() == set()
    let_pass(HALF_A_YEAR + SECOND)
    poll(lambda: reminded() == {"RotationRecommended"}, seconds=PATIENCE)
    let_pass(A_YEAR - HOUR)
    assert reminded() == {"RotationRecommended"}
    let_pass(A_YEAR + SECOND)
    poll(lambda: reminded() == {"RotationRecommended", "RotationOverdue"}, seconds=PATIENCE)

    # Three years later, and with another key that signs by now.
    let_pass(3 * A_YEAR)
    rotate(world.system)
    clock.advance(PUBLISH_FOR + RETIRE_GRACE + timedelta(minutes=1))
    assert key in world.care_for_keys()
    assert key in published(world.site.exchange)
    assert world.good_by_introspection(token)
    assert world.beat(token, "old") == (204, "")
    assert token_in(api, body) == token
    figures = world.metrics()
    assert figures["tallystick_connection_token_age_seconds"] >= (3 * A_YEAR).total_seconds()
    assert figures['tallystick_connection_configurations{rotation="overdue"}'] >= 1
    assert reminded() == {"RotationRecommended", "RotationOverdue"}

    # A rotation ends the reminders, and the old token at the order of a person alone.
    set_slots(api, body, "old", "new").must_succeed()
    found = world.at_rest(body, "old", "new")
    assert reminded() == set()
    assert tokens_of(found)[0]["kid"] != key
    assert world.good_by_introspection(token)
    set_slots(api, body, "new").must_succeed()
    world.at_rest(body, "new")
    poll(lambda: not world.good_by_introspection(token))
