"""The copy of a device is in the answer to the device alone, and the value of a project in its Secret alone.

A project lives through all that can go wrong, in processes that log at the lowest level and meet errors whose text
holds every token. Then all that was written anywhere is searched. The store of etcd is left out: it holds the Secrets.
"""

import secrets as random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.labels import KEYRING_SECRET
from tests.harness import leaks
from tests.harness.canary import Needle, Sinks, files, objects, of_key, of_token, of_value, processes, search
from tests.harness.installed import new_namespace
from tests.harness.leaks import Order, Orders
from tests.harness.own_system import OwnSystem
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import HEALTH_PAGES, running
from tests.live.fleet.project_site import Camera, Project

# What each process does when it fails: how, at which call.
EXCHANGE_FAULTS = (
    ("bug", "create", "devices"),
    ("refused", "replace_status", "pairingtokens"),
    ("unavailable", "replace_status", "devices"),
    ("bug", "get", "devices"),
    ("bug", "get", "tokenrotations"),
)
CONTROLLER_FAULTS = (("refused", "replace_status", "tokenrotations"), ("bug", "replace", "secrets"))
# Where the planted values must be found, by the ends of the names of the sinks, or the search proves nothing.
CONTROLS = {
    "variable": ("controller.log", "exchange.log", "exchange environ", "exchange /metrics"),
    "error": ("controller.log", "/api/v1 events"),
    "name": ("tallystick.dev/v1alpha1 devices",),
}


@dataclass
class Life:
    """The tokens of a project, and what happens to them."""

    system: OwnSystem
    project: Project
    folder: Path
    planted: dict[str, str]
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    needles: set[Needle] = field(default_factory=set, repr=False)
    failures: int = 0

    def live(self) -> None:
        project = self.project
        project.apply(maxDevices=100)
        self.know("first value", project.value())
        camera = self.enroll("camera")
        self.misplace(camera)
        for number, fault in enumerate(EXCHANGE_FAULTS[:2]):
            failing = Camera(project, SigningKey.generate("ES256"), project.client)
            self.fail(EXCHANGE, fault, lambda failing=failing: failing.enroll())
            self.know(f"enrolled {number}", self.enrolled(failing))
        self.fail(CONTROLLER, CONTROLLER_FAULTS[0], lambda: project.rotate("rot-1"))
        poll(lambda: project.status("rot-1").get("open"))
        self.know("second value", project.new_value(self.tokens["first value"]))
        for fault in EXCHANGE_FAULTS[2:]:
            self.fail(EXCHANGE, fault, camera.check_in)
        old, new = camera.copy, camera.take()
        self.know("second copy", new)
        camera.prove(new)
        assert camera.check_in(old).status == 401
        self.fail(CONTROLLER, CONTROLLER_FAULTS[1], lambda: project.edit(serial=2))
        self.know("third value", project.new_value(self.tokens["second value"]))

    def enroll(self, name: str) -> Camera:
        camera = Camera(self.project, SigningKey.generate("ES256"), self.project.client)
        assert camera.enroll(name=self.planted["name"]).status == 201
        assert camera.check_in().status == 204
        self.know(name, camera.copy)
        self.needles |= of_key(f"{name}: key", camera.key)
        return camera

    def enrolled(self, camera: Camera) -> str:
        assert camera.enroll().status in (200, 201)
        return camera.copy

    def misplace(self, camera: Camera) -> None:
        """Clients send tokens to where they do not belong."""
        client, value, copy = self.project.client, self.tokens["first value"], camera.copy
        proof = client.proof(camera.key, url=f"{client.issuer}/v1/devices/{camera.device}/check-in", access_token=copy)
        self.know("proof", proof)
        client.check_in(camera.device, copy, None, proof=proof)
        client.get(f"/v1/devices/{copy}")
        client.check_in(value, copy, camera.key)
        client.check_in(camera.device, value, camera.key)
        client.enroll(copy, camera.key)
        client.enroll(value, None, proof=copy)
        client.enroll(value, camera.key, name=copy)
        client.check_in(camera.device, copy, camera.key, failed={"generation": 2, "reason": value, "message": copy})
        client.redeem(value)
        client.redeem(copy)
        client.introspect(copy, value)
        client.revoke(value)

    def fail(self, process: str, fault: tuple[str, str, str], provoke: Callable[[], object]) -> None:
        """One call fails with every token in the text of its error. Not each request makes it: some are idle."""
        orders = Orders(self.folder / "orders", process)
        text = f"{self.planted['error']}: {' '.join(self.tokens.values())} {self.tokens!r}"
        orders.give(Order(*fault, text=text))
        poll(lambda: (provoke(), orders.carried_out)[-1])
        orders.take_back()
        self.failures += 1

    def know(self, name: str, token: str) -> None:
        self.tokens[name] = token
        self.needles |= of_token(name, token)

    def sinks(self) -> Sinks:
        """All that was written anywhere, by name."""
        up, plane = self.system.up, self.system.plane
        holders = {(DEFAULT_NAMESPACE, KEYRING_SECRET), (self.project.namespace, "cams-pairing-token")}
        found = objects(self.system.admin, holders)
        found |= processes({name: child.pid for name, child in up.children.items()})
        etcd = plane.data_dir / "etcd"
        found |= {
            name: content
            for name, content in files(self.folder, plane.data_dir, leave_out=self.folder / "orders").items()
            if not Path(name).is_relative_to(etcd)
        }
        for page in HEALTH_PAGES:
            url = up.health_url(CONTROLLER) + page
            found[f"controller {page}"] = urllib3.request("GET", url, retries=False).data
            found[f"exchange {page}"] = self.project.client.page(page)
        return found


@pytest.fixture(scope="module")
def life(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("fleet-secrecy")
    planted = {place: random.token_hex(20) for place in CONTROLS}
    variables = {
        leaks.ORDERS_VARIABLE: str(private_folder(folder / "orders")),
        leaks.PLANTED_VARIABLE: planted["variable"],
        "TMPDIR": str(private_folder(folder / "tmp")),
        "TALLYSTICK_LOG_LEVEL": "DEBUG",
    }
    with OwnSystem.of(running(vacant_plane, folder / "up", root=leaks.ROOT, variables=variables)) as system:
        project = Project(system.admin, new_namespace(system.admin, "secrecy"), system.exchange, system.up.folder)
        found = Life(system, project, folder, planted)
        found.live()
        yield found


def test_no_copy_and_no_value_is_written_anywhere_but_into_its_secret(life: Life, figure: Figure) -> None:
    planted = {needle for place, value in life.planted.items() for needle in of_value(place, value.encode())}
    sinks = life.sinks()

    hits, controls = search(sinks, life.needles), search(sinks, planted)

    size = sum(map(len, sinks.values()))
    figure(
        f"{len(life.tokens)} tokens, {life.failures} failures, {len(life.needles)} needles in {len(sinks)} sinks "
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


def test_the_secret_that_is_left_out_holds_the_present_value(life: Life) -> None:
    assert life.project.value() == life.tokens["third value"]
    assert search(objects(life.system.admin, ()), of_token("third value", life.tokens["third value"]))
