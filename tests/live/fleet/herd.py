"""Two controllers and three replicas of the exchange. Each is killed in turn, and started again."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tallystick.cli.identities import Identity
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import CONTROLLER, EXCHANGE
from tallystick.localplane.children import Child
from tests.harness.controllers import LEASE, ControllerProcess, Controllers
from tests.harness.exchange import replica
from tests.harness.own_system import OwnSystem

# All processes work for so long between two kills; the start of a process comes in addition.
PAUSE_SECONDS = 2.0


@dataclass
class Member:
    """One process. `start` runs it, and returns it with its URL when it is ready."""

    kind: str
    start: Callable[[], tuple[Child, str]]
    child: Child
    url: str

    @property
    def leads(self) -> bool:
        """Whether it is the controller that leads."""
        with suppress(urllib3.exceptions.HTTPError):
            return self.kind == CONTROLLER and ControllerProcess(self.child, self.url).leads
        return False

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait(10.0)

    def run_again(self) -> None:
        """Start it again after it was killed."""
        self.child, self.url = self.start()


class Herd:
    """The processes of a system: its own two, and three more."""

    def __init__(self, system: OwnSystem, folder: Path, stack: ExitStack) -> None:
        self._system, self._folder, self._stack = system, folder, stack
        self.kills: Counter[str] = Counter()
        self._members = [self._own(CONTROLLER), self._own(EXCHANGE)]
        self._members += [self._more(CONTROLLER), self._more(EXCHANGE), self._more(EXCHANGE)]

    @classmethod
    @contextmanager
    def of(cls, system: OwnSystem, folder: Path) -> Iterator["Herd"]:
        """Start the further processes for the length of the block."""
        with ExitStack() as stack:
            yield cls(system, folder, stack)

    @property
    def urls(self) -> list[str]:
        """Where the replicas listen. One that was just killed is among them."""
        return [member.url for member in self._members if member.kind == EXCHANGE]

    def all_killed_since(self, before: Counter[str]) -> bool:
        """Return whether each process was killed since a former count, if `kill_in_turn` began after it."""
        return (self.kills - before).total() >= len(self._members)

    def kill_in_turn(self, *, until: Callable[[], bool], seed: int) -> None:
        """Kill each process in turn, and start it again. Only the main thread may start processes."""
        chooser = random.Random(seed)  # noqa: S311 - no secret
        while True:
            for member in chooser.sample(self._members, len(self._members)):
                time.sleep(PAUSE_SECONDS)
                if until():
                    return
                self._kill(member)
                member.run_again()

    @contextmanager
    def without_a_controller(self) -> Iterator[None]:
        """Let no controller run for the length of the block."""
        stopped = [member for member in self._members if member.kind == CONTROLLER]
        for member in stopped:
            self._kill(member)
        yield
        for member in stopped:
            member.run_again()

    def _kill(self, member: Member) -> None:
        leads = member.leads
        member.kill()
        self.kills[member.kind] += 1
        if leads:
            self._system.admin.delete(LEASE)  # the next leader would only wait for it

    def _own(self, kind: str) -> Member:
        """A process of the system itself, which starts it again as `tallystick up` does."""
        up = self._system.up
        url = up.url if kind == EXCHANGE else up.health_url(CONTROLLER)

        def start() -> tuple[Child, str]:
            up.restart_what_ended(lambda _: None)
            return up.children[kind], url

        return Member(kind, start, up.children[kind], url)

    def _more(self, kind: str) -> Member:
        """One more process beside it."""
        stack = self._stack.enter_context(ExitStack())
        identity = Identity(DEFAULT_NAMESPACE, CONTROLLER, self._system.up.folder / "run")
        controllers = Controllers.beside(self._system, self._system.admin, identity)

        def start() -> tuple[Child, str]:
            stack.close()  # the one before
            if kind == CONTROLLER:
                process = stack.enter_context(controllers.running())
                return process.child, process.health
            number = self.kills.total()
            started = stack.enter_context(replica(self._system, self._folder / f"{id(stack)}-{number}"))
            return started.child, started.url

        return Member(kind, start, *start())
