"""The running whole for one test file alone, for tests that would get in the way of all others.

They kill the only controller, put something between it and the API server, or need a clock, keys or logs that no other
test has touched. A file imports `own_system`, and has it in its `__all__`. To run the processes in another way it
starts them itself, on the plane of the run:

    with OwnSystem.of(running(vacant_plane, folder, between=proxy)) as whole:

A file that kills or stops the API server imports `breakable_system` and `own_plane`, and has both in its `__all__`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.controllers import LEASE
from tests.harness.exchange import Exchange, another_client
from tests.harness.installed import new_namespace
from tests.harness.objects import must
from tests.harness.pairing_site import Site, make_site
from tests.harness.processes import poll
from tests.harness.system import System, running


@dataclass(frozen=True, slots=True)
class OwnSystem(System):
    """A system, and who looks at it: the administrator of its plane, whom nothing delays, and a client."""

    admin: Api
    exchange: Exchange

    @classmethod
    @contextmanager
    def of(cls, start: AbstractContextManager[System]) -> Iterator["OwnSystem"]:
        """Start a system for the length of the block."""
        with (
            start as system,
            Api.connect(system.plane.kubeconfig, system.plane.binaries.kubectl) as admin,
            another_client(system) as exchange,
        ):
            yield cls(system.up, system.clock, system.plane, admin, exchange)

    def site(self, purpose: str) -> Site:
        """A namespace that no other test uses, with a verifier in it."""
        return make_site(self.admin, new_namespace(self.admin, purpose), self.exchange)

    def recover(self) -> None:
        """Return once a controller leads again after an outage of the API server.

        A controller that could not renew its Lease in time has ended, and is started again as in a cluster.
        """
        before = self._renewed()
        poll(lambda: self.up.restart_what_ended(lambda _: None) or self._renewed() != before)

    def _renewed(self) -> str:
        return str(must(self.admin.find(LEASE))["spec"]["renewTime"])


@pytest.fixture(scope="module")
def own_system(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """Controller and exchange, as `system` runs them."""
    with OwnSystem.of(running(vacant_plane, tmp_path_factory.mktemp("own-system") / "up")) as whole:
        yield whole


@pytest.fixture(scope="module")
def breakable_system(own_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """Controller and exchange, on a control plane that the file may kill or stop."""
    with OwnSystem.of(running(own_plane, tmp_path_factory.mktemp("breakable-system") / "up")) as whole:
        yield whole
