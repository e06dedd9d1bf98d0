"""Visit every state that can be reached."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.model.exchange_model import landings, steps
from tests.model.invariants import violations
from tests.model.lifecycle_model import controller, holder, people
from tests.model.objects import Pairing, Protocol, Request, Scenario, State, World

EVENTS = (people, controller, holder, landings)


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found: each state with the one that it was first reached from, and the violations with the way there."""

    came_from: dict[State, State | None]
    broken: dict[str, State]

    @property
    def states(self) -> int:
        return len(self.came_from)

    @property
    def violations(self) -> list[str]:
        return sorted(self.broken)

    def reaches(self, goal: Callable[[State], bool]) -> bool:
        """Tell whether there is a state such as this: a model that never delivers anything would be safe, too."""
        return any(goal(state) for state in self.came_from)

    def way_to(self, violation: str) -> list[State]:
        """Return the shortest way to a violation, for whoever has to understand it."""
        way, state = [], self.broken.get(violation)
        while state is not None:
            way.append(state)
            state = self.came_from[state]
        return way[::-1]


def explore(protocol: Protocol, scenario: Scenario, *, until: str = "") -> Explored:
    """Visit every state, or stop at the first violation whose name starts so."""
    world = World(protocol, scenario)
    requests = tuple(Request("start") for _ in scenario.clients)
    first = State(requests, None, None, Pairing(uid=1), 1, frozenset(), frozenset(), scenario.faults)
    found = Explored({first: None}, {})
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for successor in _successors(world, state):
            new = successor not in found.came_from
            if new:
                found.came_from[successor] = state
                waiting.append(successor)
            for violation in violations(world, state, successor):
                if violation not in found.broken:
                    found.broken[violation] = successor
                if until and violation.startswith(until):
                    return found
    return found


def _successors(world: World, state: State) -> Iterator[State]:
    for event in EVENTS:
        yield from event(world, state)
    for index in range(len(state.requests)):
        yield from steps(world, index, state)
