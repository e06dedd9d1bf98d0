"""The value of a token is in its Secret and in the answer that carries it, and nowhere else (R13, S26, S28)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.api import Api
from tests.harness.exchange import Exchange
from tests.harness.objects import a_pairing_token, issued, secret_of, value_of, wait_for_state, wait_until_gone
from tests.harness.processes import poll
from tests.harness.system import System

KINDS = "pairingtokens,mastertokens,events,configmaps,leases,serviceaccounts"


def needles(token: str, data: str) -> list[str]:
    """What would betray a token: its signature, and the token as a Secret spells it."""
    return [token.rpartition(".")[2], data[-64:]]


def written_files(system: System) -> Iterator[Path]:
    """All that controller, exchange and the control plane have written, but for the store of etcd itself."""
    for folder in (system.up.folder, system.plane.data_dir):
        yield from (path for path in folder.rglob("*") if path.is_file() and "etcd" not in path.parts)


@pytest.fixture
def namespace(make_namespace: Callable[[str], str], system: System) -> str:
    return make_namespace("secrecy")


def test_no_token_is_found_in_any_object_event_or_log(
    admin: Api, system: System, exchange: Exchange, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    _, secret = issued(admin, body)
    pairing, in_secret = value_of(secret, "token"), secret["data"]["token"]
    admin.merge(secret, {"data": {"token": "Zm9yZ2Vk"}}).must_succeed()
    poll(lambda: admin.get(secret_of(body))["data"]["token"] == in_secret)
    master = exchange.redeem(pairing).must_succeed()["access_token"]
    exchange.redeem(pairing)
    exchange.redeem(master)
    wait_for_state(admin, body, "Used")
    wait_until_gone(admin, secret_of(body))

    secrets = [*needles(pairing, in_secret), *needles(master, master)]
    objects = admin.kubectl("get", KINDS, "-A", "-o", "yaml")
    files = {path: path.read_bytes() for path in written_files(system)}

    assert namespace in objects
    assert [secret for secret in secrets if secret in objects] == []
    assert {system.plane.audit_log, system.up.folder / "controller.log", system.up.folder / "exchange.log"} <= set(
        files
    )
    assert [path for path, content in files.items() for secret in secrets if secret.encode() in content] == []


def test_a_private_key_is_only_in_the_keyring(admin: Api, system: System) -> None:
    keyring = admin.get(
        {"kind": "Secret", "metadata": {"name": "tallystick-keyring", "namespace": "tallystick-system"}}
    )
    stored = value_of(keyring, "keyring.json")
    _, _, private_key = stored.partition("-----BEGIN PRIVATE KEY-----\\n")
    # What stands before it is the same in all keys of the curve.
    needle = private_key[60:110].encode()

    assert len(needle) == 50
    assert [path for path in written_files(system) if needle in path.read_bytes()] == []
