"""The running whole on a control plane of a test file's own, for tests that would get in the way of all others.

They kill the API server or the only controller, put something between it and the processes, or need a clock, keys or
logs that nobody else has touched. A file imports `own_plane` and `own_system`, and has both in its `__all__`. Where the
processes are to run in another way it imports `own_plane` alone and starts them itself:

    with OwnSystem.of(running(own_plane, folder, between=proxy)) as whole:
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.exchange import Exchange, another_client
from tests.harness.installed import new_namespace
from tests.harness.pairing_site import Site, make_site
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


@pytest.fixture(scope="module")
def own_system(own_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """Controller and exchange, as `system` runs them."""
    with OwnSystem.of(running(own_plane, tmp_path_factory.mktemp("own-system") / "up")) as whole:
        yield whole
