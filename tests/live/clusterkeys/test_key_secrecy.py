"""The value of a join key or master key is in the Secrets made for it, and nowhere else.

Keys of all kinds live through all that can go wrong, under a controller that logs at the lowest level and meets errors
whose text holds every key. Then all that was written anywhere is searched for the keys: as text, as bytes, in base64.
The store of etcd is left out: it holds the Secrets by its nature.
"""

import base64
import secrets as random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tallystick.install.installation import CONTROLLER
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tests.harness import leaks
from tests.harness.api import Api
from tests.harness.canary import Hit, Needle, Sinks, files, objects, of_value, processes, search
from tests.harness.cluster_keys import (
    JOIN_TYPE,
    MASTER_TYPE,
    a_join_key,
    a_master_key,
    a_secret,
    fresh_key,
    put,
    raise_serial,
    wait_for_ready,
)
from tests.harness.controllers import ControllerProcess, Controllers
from tests.harness.installed import new_namespace
from tests.harness.key_history import values_of
from tests.harness.leaks import Order, Orders
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import HEALTH_PAGES

Json = dict[str, Any]

OURS, SECRETS = "/apis/tallystick.dev/v1alpha1", "/api/v1 secrets"
PLACES = ("variable", "error", "annotation", "name", "requester")
# Where each planted value must be found, by the ends of the names of the sinks, or the search proves nothing.
CONTROLS = {
    "variable": ("environ", "controller-1.log", "/metrics"),
    "error": ("controller-1.log",),
    "annotation": (f"{OURS} joinkeys",),
    "name": ("audit-1.jsonl", f"{OURS} joinkeys", "/api/v1 events", SECRETS),
    "requester": ("audit.log",),
}
FAULTS = (
    ("bug", "create", "secrets"),
    ("unavailable", "create", "secrets"),
    ("refused", "replace_status", "joinkeys"),
    ("bug", "replace", "secrets"),
)


@dataclass(slots=True)
class Life:
    """The keys of a namespace, and what happens to them."""

    controllers: Controllers
    process: ControllerProcess
    folder: Path
    planted: dict[str, str]
    home: str
    target: str
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    needles: set[Needle] = field(default_factory=set, repr=False)
    holders: set[tuple[str, str]] = field(default_factory=set)
    failures: int = 0

    @property
    def api(self) -> Api:
        return self.controllers.admin

    def live(self) -> None:
        body, external = a_master_key(self.home), a_master_key(self.home, "ext", external=True, secretRef={"name": "x"})
        shared = a_join_key(
            self.home, f"jpd-{self.planted['name']}", targets=[{"namespace": self.target}], overlap="0s"
        )
        provided = a_join_key(self.home, "own", master_key="ext", secretRef={"name": "own"}, overlap="0s")
        self.place("external", "x", MASTER_TYPE, "master_key")
        self.place("provided", "own", JOIN_TYPE, "join_key", spelled=lambda key: key.upper() + "\n")
        for one in (body, external, shared, provided):
            self.api.create(one).must_succeed()
        for one in (shared, provided):
            wait_for_ready(self.api, one, "Shared")
        wait_for_ready(self.api, external, "KeyInMemory")
        self.note()
        self.plant(shared)

        self.refuse_bad_keys()
        for number, fault in enumerate(FAULTS):
            self.fail(fault, f"failing-{number}", shared)
        for one in (shared, body):
            raise_serial(self.api, one)
        poll(lambda: self.api.get(shared)["status"]["keyVersion"] == 2)
        poll(lambda: "previousFingerprint" not in self.api.get(body)["status"])
        self.place("provided anew", "own", JOIN_TYPE, "join_key")
        poll(lambda: self.api.get(provided)["status"]["keyVersion"] == 2)
        self.place("external again", "x", MASTER_TYPE, "master_key")
        poll(lambda: "place" in str(self.api.get(external)["status"]["conditions"]))
        self.note()
        self.api.delete(a_join_key(self.home, "failing-0")).must_succeed()
        poll(lambda: self.api.find(a_secret(self.target, "failing-0-join-key")) is None)

    def refuse_bad_keys(self) -> None:
        """A user's Secrets hold keys that are refused: nearly right, of the wrong type, under another name."""
        bad = a_join_key(self.home, "bad", secretRef={"name": "bad"})
        self.api.create(bad).must_succeed()
        for reason, type_, data_key, spelled in (
            ("InvalidKey", JOIN_TYPE, "join_key", lambda key: key + "0"),
            ("InvalidKey", JOIN_TYPE, "join_key", lambda key: "0x" + key),
            ("WrongSecretType", "Opaque", "join_key", lambda key: key),
            ("KeyMissing", JOIN_TYPE, "key", lambda key: key),
        ):
            self.place(f"bad {len(self.keys)}", "bad", type_, data_key, spelled)
            wait_for_ready(self.api, bad, reason)

    def fail(self, fault: tuple[str, str, str], name: str, shared: Json) -> None:
        """One call fails with every key in the text of its error; after that, the work comes to its end."""
        orders = Orders(self.folder / "orders", CONTROLLER)
        spelled = [form for key in self.keys.values() for form in (key, key.upper(), in_base64(key))]
        orders.give(Order(*fault, text=f"{self.planted['error']}: {' '.join(spelled)} {self.keys!r}"))
        body = a_join_key(self.home, name, targets=[{"namespace": self.target}])
        self.api.create(body).must_succeed()
        self.api.merge(a_secret(self.home, f"{shared['metadata']['name']}-join-key"), {"data": {"join-key": None}})
        orders.take_back()
        wait_for_ready(self.api, body, "Shared")
        self.failures += 1
        self.note()

    def place(
        self, name: str, secret: str, type_: str, data_key: str, spelled: Callable[[str], str] = lambda key: key
    ) -> None:
        """Be a user who places a key of his own."""
        key = fresh_key()
        put(self.api, a_secret(self.home, secret, type_, **{data_key: spelled(key)}))
        self.holders.add((self.home, secret))
        self.know(name, key)

    def note(self) -> None:
        """Know each key that the controller has stored in clear, and in which Secrets."""
        for namespace in (self.home, self.target):
            for secret in self.api.find_all("Secret", namespace):
                if secret["type"] not in {JOIN_TYPE, MASTER_TYPE}:
                    continue
                name = secret["metadata"]["name"]
                self.holders.add((namespace, name))
                for data_key, value in values_of(secret).items():
                    if data_key.startswith(("join-key", "master-key")) and len(value) == 64:
                        self.know(f"{name} {data_key} {len(self.keys)}", value)

    def know(self, name: str, key: str) -> None:
        if key in self.keys.values():
            return
        self.keys[name] = key
        number = bytes.fromhex(key)
        self.needles |= of_value(name, key.encode()) | of_value(name, number) | {Needle(name, "bytes", number)}

    def plant(self, shared: Json) -> None:
        note = {"metadata": {"annotations": {"note": self.planted["annotation"]}}}
        self.api.merge(shared, note).must_succeed()
        assert not self.api.as_user(self.planted["requester"]).delete(shared).succeeded

    def sinks(self) -> Sinks:
        """All that was written anywhere, by name."""
        plane = self.controllers.plane
        found = objects(self.api, self.holders) | processes({CONTROLLER: self.process.child.pid})
        etcd = plane.data_dir / "etcd"
        found |= {
            name: content
            for name, content in files(self.folder, plane.data_dir, leave_out=self.folder / "orders").items()
            if not Path(name).is_relative_to(etcd)
        }
        return found | {f"controller {page}": self.process.get(page).encode() for page in HEALTH_PAGES}


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def life(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder, planted = tmp_path_factory.mktemp("key-secrecy"), {place: random.token_hex(20) for place in PLACES}
    variables = {
        leaks.ORDERS_VARIABLE: str(private_folder(folder / "orders")),
        leaks.PLANTED_VARIABLE: planted["variable"],
        "TMPDIR": str(private_folder(folder / "tmp")),
        "TALLYSTICK_LOG_LEVEL": "DEBUG",
    }
    with (
        Controllers.on(vacant_plane, folder / "run", root=leaks.ROOT) as controllers,
        controllers.leading(**variables) as process,
    ):
        home, target = (new_namespace(controllers.admin, "key-secrecy") for _ in range(2))
        found = Life(controllers, process, folder, planted, home, target)
        found.live()
        yield found


def test_no_key_is_written_anywhere_but_into_its_secrets(life: Life, figure: Figure) -> None:
    planted = {needle for place, value in life.planted.items() for needle in of_value(place, value.encode())}
    sinks = life.sinks()

    hits, controls = search(sinks, life.needles), search(sinks, planted)

    size = sum(map(len, sinks.values()))
    figure(
        f"{len(life.keys)} keys, {life.failures} failures, {len(life.needles)} needles in {len(sinks)} sinks "
        f"({size / 1e6:.0f} MB): {len(hits)} hits; {len(controls)} finds of {len(life.planted)} planted values"
    )
    assert hits == set()
    missed = {
        (place, end)
        for place, ends in CONTROLS.items()
        for end in ends
        if not any(hit.secret == place and hit.sink.endswith(end) for hit in controls)
    }
    assert missed == set()


def test_the_secrets_that_are_left_out_do_hold_the_keys(life: Life) -> None:
    held = {value for holder in life.holders for value in values_of(life.api.find(a_secret(*holder)) or {}).values()}
    present = {name for name, key in life.keys.items() if key in {value.strip().lower() for value in held}}
    needles = [needle for needle in life.needles if needle.secret in present]

    assert len(present) >= 4
    assert search(objects(life.api, ()), needles) == {Hit(SECRETS, name) for name in present}
