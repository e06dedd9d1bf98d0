"""The signing keys change while all clients work: none meets a key that could not be known, and none is missed.

A new key is published for the life of a verifier's copy and a minute more before it signs; an old one leaves when
nothing that it signed can be presented any more. By a clock of its own, which moves by hours.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keyring import PUBLISH_FOR
from tallystick.crypto.keys import Algorithm, SigningKey
from tallystick.install.installation import CONTROLLER
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.tokens.keyrings import RETIRE_GRACE, stored_keyring
from tests.harness.exchange import Exchange, replica
from tests.harness.key_traffic import OfflineVerifier, Traffic, traffic
from tests.harness.objects import read_token, wait_for_state
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.rotation import STRIDE, published, restart_controller, rotate
from tests.harness.system import System

__all__ = ["own_system"]

KEYRING_AGE = "tallystick_keyring_age_seconds "
DAY = timedelta(days=1)
# An exchange reads the keyring every 5 s.
PUBLISHED_WITHIN = 10.0
KEYRING = {"kind": "Secret", "metadata": {"name": KEYRING_SECRET, "namespace": DEFAULT_NAMESPACE}}
# Verifiers whose copies of the JWKS are over at different times.
PHASES = 4


@dataclass(frozen=True, slots=True)
class Installation:
    """A system with two replicas of the exchange, and a namespace to work in."""

    system: System
    site: Site
    replicas: tuple[str, str]

    def at(self, url: str) -> Exchange:
        return self.site.exchange.at(url)

    def kept_keys(self) -> set[str]:
        """The keys in the keyring itself: what a replica knows can be 5 s behind."""
        return {entry.key.key_id for entry in stored_keyring(self.site.api.get(KEYRING)).entries}

    def rotated(self, algorithm: Algorithm = "ES256") -> str:
        """Add a key and return its id once both replicas publish it; it does not sign yet."""
        key_id = rotate(self.system, algorithm).entries[-1].key.key_id
        for url in self.replicas:
            poll(partial(self._publishes, url, key_id), seconds=PUBLISHED_WITHIN)
        return key_id

    def _publishes(self, url: str, key_id: str) -> bool:
        return key_id in published(self.at(url))

    def has_dropped(self, url: str, key_id: str) -> bool:
        return not self._publishes(url, key_id)

    def changed(self, name: str) -> str:
        """Add a key, let the time pass until it signs, and return it once the controller signs with it, too."""
        key_id = self.rotated()
        self.system.clock.advance(PUBLISH_FOR)
        numbers = itertools.count(1)
        poll(lambda: kid_of(self.site.issue(f"{name}-{next(numbers)}", ttl="10s")) == key_id)
        return key_id

    def let_pass(self, flow: Traffic, time: timedelta, name: str) -> None:
        """Let hours pass at once, in a moment in which nobody asks, and let a controller care for the keys."""
        with flow.paused():
            self.system.clock.advance(time)
        self.care_for_keys(name)

    def care_for_keys(self, name: str) -> set[str]:
        """Let a controller begin to lead, which drops the keys that may go; return those that are left."""
        restart_controller(self.system)
        self.site.issue(name, ttl="10s")
        # It looks at the objects first, and then cares for the keys; at the end of that it tells how old the newest is.
        poll(lambda: self._age_of_the_newest() > 0)
        return self.kept_keys()

    def _age_of_the_newest(self) -> float:
        page = urllib3.request("GET", f"{self.system.up.health_url(CONTROLLER)}/metrics", retries=False, timeout=60.0)
        (line,) = (line for line in page.data.decode().splitlines() if line.startswith(KEYRING_AGE))
        return float(line.removeprefix(KEYRING_AGE))


@pytest.fixture(scope="module")
def installation(own_system: OwnSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with replica(own_system, tmp_path_factory.mktemp("second") / "exchange") as second:
        yield Installation(own_system, own_system.site("traffic"), (own_system.up.url, second.url))


def kid_of(token: str) -> str:
    kid: str = read_token(token).header["kid"]
    return kid


@pytest.mark.proof(gate=1, soak=6)
def test_no_valid_token_is_refused_while_keys_change_in_traffic(
    installation: Installation, rounds: int, figure: Figure
) -> None:
    clock, replicas = installation.system.clock, installation.replicas
    signing = [kid_of(installation.site.issue("before"))]
    with traffic(installation.system, installation.site, replicas) as flow:
        _start_verifiers(installation, flow)
        for number in range(rounds):
            # The worst copy of the JWKS is the one that was fetched just before the new key was there.
            flow.go_on()
            new = installation.rotated("RS256" if number % 2 == 0 else "ES256")
            published_from = clock.now()
            while clock.now() < published_from + PUBLISH_FOR:
                assert flow.signers() <= set(signing) or clock.now() > published_from + PUBLISH_FOR - STRIDE
                clock.advance(STRIDE)
                flow.go_on()
            poll(partial(flow.has_signed, new))
            signing.append(new)

            # Pairing tokens live a day. After it the master tokens alone name the old keys.
            installation.let_pass(flow, DAY + RETIRE_GRACE, f"day-{number}")
            flow.go_on()
            assert set(signing) <= installation.kept_keys()
    fetched = sum(verifier.fetched for verifier in flow.verifiers)
    counted = ", ".join(f"{number} {what}" for what, number in sorted(flow.counts.items()))
    figure(f"{rounds} rotations, {counted}, JWKS fetched {fetched} times by {PHASES} verifiers; 0 refused, 0 unknown")


def _start_verifiers(installation: Installation, flow: Traffic) -> None:
    """Let each fetch its copy some seconds after the one before, from one replica or the other."""
    for phase in range(PHASES):
        exchange = installation.at(installation.replicas[phase % 2])
        flow.verifiers.append(OfflineVerifier(exchange))
        flow.go_on()
        installation.system.clock.advance(STRIDE)


def test_a_key_leaves_when_nothing_that_it_signed_can_be_presented(installation: Installation) -> None:
    site, system = installation.site, installation.system
    client_key = SigningKey.generate("ES256")
    old = installation.changed("old")
    waiting, asked_again, given_back = (site.issue(name, ttl="24h") for name in ("waiting", "again", "given-back"))
    master, deleted = (site.paired(name)["access_token"] for name in ("paired", "deleted"))
    assert {kid_of(token) for token in (waiting, asked_again, given_back, master, deleted)} == {old}
    new = installation.changed("new")
    answer = site.exchange.redeem(asked_again, key=client_key).must_succeed()["access_token"]
    other = site.exchange.redeem(given_back).must_succeed()["access_token"]
    assert {kid_of(answer), kid_of(other)} == {new}
    system.clock.advance(RETIRE_GRACE)

    # What is revoked or gone needs no key: its tokens ended with it.
    site.api.delete(site.pairing_token("deleted")).must_succeed()
    for body in (site.pairing_token(name) for name in ("waiting", "paired")):
        site.api.merge(body, {"spec": {"revoked": True}}).must_succeed()
        wait_for_state(site.api, body, "Revoked")
    assert not any(site.is_active(token) for token in (waiting, master, deleted))

    # A Used token can still be presented, to get the same response again.
    kept = installation.care_for_keys("first-look")
    assert {old, new} <= kept
    for url in installation.replicas:
        assert installation.at(url).redeem(asked_again, key=client_key).must_succeed()["access_token"] == answer
    assert site.exchange.revoke(other).status == 200
    poll(lambda: not site.is_active(other))

    # At its expiry nothing of it is left to show, although its object still names the key.
    system.clock.advance(DAY)
    kept = installation.care_for_keys("second-look")
    assert old not in kept
    assert new in kept
    for url in installation.replicas:
        poll(partial(installation.has_dropped, url, old), seconds=PUBLISHED_WITHIN)
    assert site.api.get(site.pairing_token("again"))["status"]["kid"] == old
    # Not even offline can a token be used whose object is gone: the `exp` in it is a year away.
    with pytest.raises(AssertionError, match="could not be known"):
        OfflineVerifier(site.exchange).verify(deleted)
