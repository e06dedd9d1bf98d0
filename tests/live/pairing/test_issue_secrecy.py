"""The value of a token or key is in the one Secret made for it and in the answer that carries it, nowhere else.

R13, S26, S28; reliability.md, invariant I11. A life with all that can go wrong is lived on a control plane of its own,
at the lowest log level, by processes that are told to fail with whole tokens and keys in their errors. Then every
place that anything was written to is searched. The store of etcd is left out: it holds the Secrets by its nature.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tests.harness import leaks
from tests.harness.canary import Hit, Sinks, files, number_of, objects, of_key, of_value, processes, search
from tests.harness.own_system import OwnSystem
from tests.harness.plane import own_plane
from tests.harness.proofs import Figure
from tests.harness.secret_life import KEYRING, Life, Planted
from tests.harness.system import HEALTH_PAGES, running

__all__ = ["own_plane"]

OURS = "/apis/tallystick.dev/v1alpha1"
PUBLIC_PAGES = ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server")
# What was planted, and by the ends of their names the sinks in which it must be found, or the search proves nothing.
CONTROLS = {
    "folder": ("controller cmdline", "exchange cmdline"),
    "variable": (
        *("controller environ", "exchange environ", "controller.log", "exchange.log"),
        *("controller /metrics", "exchange /metrics"),
    ),
    "error": ("controller.log", "exchange.log"),
    "client id": ("audit-exchange.jsonl", f"{OURS} pairingtokens", f"{OURS} mastertokens"),
    "requester": ("audit-controller.jsonl", "audit.log", f"{OURS} pairingtokens"),
    "annotation": (f"{OURS} pairingtokens", "/api/v1 secrets"),
    "field manager": (f"{OURS} pairingtokens",),
    "event": ("/api/v1 events", "/apis/events.k8s.io/v1 events"),
    "temporary file": ("tmp/planted",),
    "use cases": ("controller /readyz", "exchange /readyz"),
    "key id": ("exchange /.well-known/jwks.json",),
}


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted.fresh()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, planted: Planted) -> Path:
    """All that the processes write goes below this folder; its name is in their command lines."""
    return private_folder(tmp_path_factory.mktemp("secrecy") / planted.values["folder"])


@pytest.fixture(scope="module")
def own_system(own_plane: ControlPlane, folder: Path, planted: Planted) -> Iterator[OwnSystem]:
    variables = {
        leaks.ORDERS_VARIABLE: str(private_folder(folder / "orders")),
        leaks.PLANTED_VARIABLE: planted.values["variable"],
        "TMPDIR": str(private_folder(folder / "tmp")),
        "TALLYSTICK_LOG_LEVEL": "DEBUG",
    }
    with OwnSystem.of(running(own_plane, folder / "up", root=leaks.ROOT, variables=variables)) as whole:
        yield whole


@pytest.fixture(scope="module")
def life(own_system: OwnSystem, folder: Path, planted: Planted) -> Life:
    return Life(own_system, own_system.site("secrecy"), folder, planted)


def everything(life: Life) -> Sinks:
    """All sinks, by name."""
    system, site = life.system, life.site
    children = {child.name: child.pid for child in (*system.up.children.values(), *system.plane.children)}
    found = objects(site.api, life.holders) | processes(children)
    etcd, orders = system.plane.data_dir / "etcd", life.folder / "orders"
    found |= {
        name: content
        for name, content in files(life.folder, system.plane.data_dir, leave_out=orders).items()
        if not Path(name).is_relative_to(etcd)
    }
    found |= {f"exchange {page}": life.exchange_page(page) for page in (*HEALTH_PAGES, *PUBLIC_PAGES)}
    return found | {f"controller {page}": life.controller_page(page) for page in HEALTH_PAGES}


@pytest.mark.proof(gate=1, soak=5)
def test_no_secret_is_written_anywhere_but_where_it_belongs(life: Life, rounds: int, figure: Figure) -> None:
    for number in range(rounds):
        life.live(f"life-{number}")
    sinks = everything(life)
    hits = search(sinks, life.needles)
    controls = search(sinks, life.planted.needles)
    planted = life.planted.values.keys() | {"key id"}
    size = sum(map(len, sinks.values()))
    figure(
        f"{rounds} lives with {life.failures} failures, {len(life.secrets)} secrets as {len(life.needles)} needles "
        f"in {len(sinks)} sinks ({size / 1e6:.0f} MB): {len(hits - life.by_design)} hits; "
        f"{len(controls)} finds of {len(planted)} planted values"
    )

    assert hits - life.by_design == set()
    assert life.by_design <= hits, "what is there by design is found"
    missed = {
        (secret, place)
        for secret, places in CONTROLS.items()
        for place in places
        if not any(hit.secret == secret and hit.sink.endswith(place) for hit in controls)
    }
    assert missed == set()


def test_the_secrets_that_are_left_out_do_hold_what_is_searched_for(life: Life) -> None:
    """The exception is as narrow as the one Secret: with its values the same search finds them."""
    life.prepare()
    without, with_values = (objects(life.site.api, holders) for holders in (life.holders, ()))

    needles = [needle for needle in life.needles if needle.secret in ("signing key", "waiting token")]

    assert search(without, needles) == set()
    held = "/api/v1 secrets"
    assert search(with_values, needles) == {Hit(held, "signing key"), Hit(held, "waiting token")}
    assert KEYRING in life.holders


VALUE = bytes(range(7, 71))
FORMS = {
    "raw": VALUE.hex()[:90],
    "cut at both ends": VALUE.hex()[33:60],
    "base64": base64.b64encode(VALUE).decode(),
    "base64 behind one byte": base64.b64encode(b"x" + VALUE).decode(),
    "base64 behind two": base64.b64encode(b"xy" + VALUE).decode(),
    "base64url": base64.urlsafe_b64encode(b"x" + VALUE).decode(),
    "in lines": base64.encodebytes(VALUE).decode(),
    "hex": VALUE.hex(),
    "hex in capitals": VALUE.hex().upper(),
    "every byte URL-encoded": "".join(f"%{byte:02X}" for byte in VALUE),
    "JSON in JSON": json.dumps(json.dumps({"a": base64.b64encode(VALUE).decode()})),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_each_form_and_in_pieces(form: str) -> None:
    noise = b'{"level": "debug", "uid": "4be13896-30aa-4e0f-8d9d-0d7a4b9a3e11", "text": "%s"}\n'
    sinks = {"log": noise % FORMS[form].encode() * 3, "other": noise % b"nothing"}

    assert search(sinks, of_value("value", VALUE)) == {Hit("log", "value")}


def test_a_private_key_is_found_in_its_pem_and_as_a_number() -> None:
    key = SigningKey.generate("ES256")
    pem, number = key.to_pem(), number_of(key)
    sinks = {
        "PEM": pem,
        "PEM in JSON in base64": base64.b64encode(json.dumps({"key": pem.decode()}).encode()),
        "one line of it": pem.splitlines()[1] + b"\n",
        "bytes": b"core" + number + b"dumped",
        "hex": number.hex().encode(),
        "public": json.dumps(key.public_jwk()).encode() + pem.splitlines()[3],
    }

    found = {hit.sink for hit in search(sinks, of_key("key", key))}

    assert found == sinks.keys() - {"public"}
