"""`tallystick rotation watch`: show a rotation until it is over. It reads the object once a second."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.client.rotation_access import Access, RotationError
from tallystick.fleet.client.rotation_view import COLUMNS, View, view_of
from tallystick.objects.ports import Clock, Cluster, NotFoundError, UnavailableError
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.stopping import run_async, undone_by_signals
from tallystick.schema.times import rfc3339

LOOK_SECONDS = 1.0


class Screen(Protocol):
    """Where a rotation is shown."""

    def show(self, view: View, now: datetime) -> None:
        """Show a rotation as it is."""
        ...

    def note(self, text: str, now: datetime) -> None:
        """Show why there is no news."""
        ...


def watch_rotation(name: str, access: Access) -> None:
    """Show a rotation until it has succeeded; raises RotationError if it ends in another way."""
    with undone_by_signals():
        run_async(_watch(name, access))


async def _watch(name: str, access: Access) -> None:
    console = Console(highlight=False, markup=False)
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    around: AbstractContextManager[object] = live if live is not None else nullcontext()
    screen = LiveScreen(live) if live is not None else Lines(print_line)
    async with access.cluster() as cluster:
        namespace = access.chosen_namespace()
        with around:
            await follow(cluster, namespace, name, screen, SystemClock())


def print_line(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


async def follow(cluster: Cluster, namespace: str, name: str, screen: Screen, clock: Clock) -> None:
    """Show a rotation until it has succeeded. An API server that does not respond is asked again.

    Raises:
        RotationError: It has failed, was aborted, or was deleted.
        ClusterError: The API server rejects the request.
    """
    what, seen = f"TokenRotation {namespace}/{name}", None
    while True:
        try:
            rotation = TokenRotation.model_validate(await cluster.get(TOKEN_ROTATIONS, namespace, name))
        except NotFoundError:
            if seen is not None:
                raise _deleted(what, seen) from None
            screen.note(f"{what} does not exist yet; waiting for it", clock.now())
        except UnavailableError as error:
            screen.note(f"{error}; trying again", clock.now())
        else:
            if seen is not None and rotation.metadata.uid != seen.metadata.uid:
                raise _deleted(what, seen)
            seen = rotation
            screen.show(view_of(rotation, clock.now()), clock.now())
            if rotation.status.state in FINISHED:
                _end(what, rotation)
                return
        await clock.pause(LOOK_SECONDS)


def _end(what: str, rotation: TokenRotation) -> None:
    match rotation.status.state:
        case RotationState.FAILED:
            raise RotationError(f"{what} has failed; to go on, create another one")
        case RotationState.ABORTED:
            raise RotationError(f"{what} was aborted; to go on, create another one")


def _deleted(what: str, rotation: TokenRotation) -> RotationError:
    state = rotation.status.state or RotationState.PENDING
    return RotationError(f"{what} was deleted while it was {state}, which aborts it; to go on, create another one")


@dataclass
class Lines:
    """One line for each change, for a log or a pipe."""

    write: Callable[[str], None]
    _shown: object = None
    _noted: str = ""
    _failed: set[tuple[str, ...]] = field(default_factory=set)

    def show(self, view: View, now: datetime) -> None:
        """Write a line if the rotation has changed, and one for each new failure."""
        self._noted = ""
        if view.facts != self._shown:
            self._shown = view.facts
            self.write(f"{rfc3339(now)} {view.line}")
        for failure in reversed(view.failures):
            if failure not in self._failed:
                self._failed.add(failure)
                self.write(f"{rfc3339(now)} failed: {' '.join(part for part in failure if part)}")

    def note(self, text: str, now: datetime) -> None:
        """Write the reason once, until there is news."""
        if text != self._noted:
            self._noted = text
            self.write(f"{rfc3339(now)} {text}")


@dataclass
class LiveScreen:
    """A table that changes in its place, for a terminal."""

    live: Live
    _view: View | None = None

    def show(self, view: View, now: datetime) -> None:
        """Show a rotation as it is."""
        self._view = view
        self._draw("", now)

    def note(self, text: str, now: datetime) -> None:
        """Show the reason below what was seen last."""
        self._draw(text, now)

    def _draw(self, note: str, now: datetime) -> None:
        parts = screen_of(self._view) if self._view is not None else []
        self.live.update(Group(*parts, *([Text(f"{rfc3339(now)} {note}")] if note else [])), refresh=True)


def screen_of(view: View) -> list[Text | Table]:
    """Return what the terminal shows."""
    batches = Table(*COLUMNS, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for number, row in enumerate(view.rows, start=1):
        batches.add_row(*row, style=None if number <= view.opened else "dim")
    parts: list[Text | Table] = [Text(view.heading, style="bold"), batches, Text(view.following)]
    if view.failures:
        failures = Table("FAILED", "REASON", "MESSAGE", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for failure in view.failures:
            failures.add_row(*failure)
        parts.append(failures)
    return parts
