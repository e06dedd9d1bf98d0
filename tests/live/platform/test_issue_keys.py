"""The signing keys of an installation: published before they sign, kept while named, dropped afterwards.

By a clock that no other test has moved: the command line reads the real one.
"""

import subprocess
import sys
from datetime import timedelta
from typing import Any

from tests.harness.api import Api
from tests.harness.exchange import Exchange
from tests.harness.objects import a_pairing_token, issued, read_token, secret_of, value_of, wait_for_state
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.processes import poll
from tests.harness.rotation import restart_controller
from tests.harness.system import System

__all__ = ["own_system"]

Json = dict[str, Any]

NAMESPACE = "default"
# An exchange reads the keyring every 5 s.
PUBLISHED_WITHIN = 8.0


def keys(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `tallystick signing-keys` as a person would, in a wide terminal."""
    return subprocess.run(
        [sys.executable, "-m", "tallystick", "signing-keys", *arguments, "--kubeconfig", system.plane.kubeconfig],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"COLUMNS": "200", "PATH": ""},
    )


def listed(system: System) -> dict[str, list[str]]:
    """What `tallystick signing-keys list` says of each key: algorithm, state, live tokens."""
    rows = [line.split() for line in keys(system, "list").stdout.splitlines()[1:]]
    return {row[0]: [row[1], *row[-2:]] for row in rows if row}


def published(exchange: Exchange) -> dict[str, str]:
    """The JWKS: which kind of key each id is."""
    return {key["kid"]: key["kty"] for key in exchange.get("/.well-known/jwks.json").must_succeed()["keys"]}


def signed_with(admin: Api, name: str, **spec: Any) -> tuple[str, str]:
    """Issue a token and return the key that signed it, with its algorithm."""
    _, secret = issued(admin, a_pairing_token(NAMESPACE, name, **spec))
    header = read_token(value_of(secret, "token")).header
    return header["kid"], header["alg"]


def test_a_rotated_key_is_published_then_signs_and_the_old_one_stays_while_it_is_named(
    own_system: OwnSystem,
) -> None:
    admin, exchange, clock = own_system.admin, own_system.exchange, own_system.clock
    long_lived = a_pairing_token(NAMESPACE, "long-lived", ttl="24h")
    old_key, _ = signed_with(admin, "long-lived", ttl="24h")
    secret = admin.get(secret_of(long_lived))
    assert published(exchange) == {old_key: "EC"}

    # Published at once, and two at a time are refused.
    rotated = keys(own_system, "rotate", "--algorithm", "RS256")
    refused = keys(own_system, "rotate")
    keyring = poll(lambda: len(both := published(exchange)) == 2 and both, seconds=PUBLISHED_WITHIN)
    assert isinstance(keyring, dict)
    (new_key,) = keyring.keys() - {old_key}
    assert keyring == {old_key: "EC", new_key: "RSA"}
    assert rotated.stdout.startswith(f"key {new_key} is published and signs from ")
    assert refused.returncode == 1
    assert f"error: the keyring was not rotated: key {new_key} is published and signs from" in refused.stderr

    # It signs when the last verifier can have fetched it: max-age of the JWKS and a minute.
    assert signed_with(admin, "at-once") == (old_key, "ES256")
    clock.advance(timedelta(minutes=5))
    assert signed_with(admin, "max-age-is-over") == (old_key, "ES256")
    clock.advance(timedelta(minutes=1))
    assert signed_with(admin, "in-time") == (new_key, "RS256")

    # What the old key signed is healed with the old key, and a command shows who needs it.
    admin.delete(secret).must_succeed()
    healed = poll(lambda: admin.find(secret_of(long_lived)))
    assert healed is not None
    assert healed["data"] == secret["data"]
    # By the real clock, which the command line lives by, the new key does not sign yet.
    in_use = {old_key: ["ES256", "signing", "2"], new_key: ["RS256", "published", "1"]}
    poll(lambda: listed(own_system) == in_use, seconds=60)

    # A leader drops it an hour later at the soonest, and not while a live token names it.
    clock.advance(timedelta(hours=2))
    restart_controller(own_system)
    signed_with(admin, "after-a-restart")
    assert old_key in listed(own_system)
    admin.merge(long_lived, {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(admin, long_lived, "Revoked")
    restart_controller(own_system)
    poll(lambda: listed(own_system).keys() == {new_key})
    poll(lambda: published(exchange) == {new_key: "RSA"}, seconds=PUBLISHED_WITHIN)


def test_an_unknown_algorithm_is_refused_with_the_known_ones(own_system: OwnSystem) -> None:
    refused = keys(own_system, "rotate", "--algorithm", "HS256")

    assert refused.returncode == 1
    assert refused.stderr == "error: --algorithm HS256 is not supported; use one of ES256, RS256\n"


def test_keys_of_a_namespace_without_an_operator_are_not_found(own_system: OwnSystem) -> None:
    refused = keys(own_system, "list", "--namespace", "default")

    assert refused.returncode == 1
    assert "Secret default/tallystick-keyring does not exist" in refused.stderr
