"""Visit every state of a world of the rotation model: what is broken, what is a trap, and what is never reached."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.model.rotation_rules import Broken, Rules, World


@dataclass(slots=True)
class Explored:
    """What was found.

    `broken` has for each violation the number of steps to the nearest one. A trap is a state from which nobody ever
    gets where they want, however long they wait. `missing` are the numbers of the witnesses that were not seen. Only an
    exploration that is `complete` shows that something is never reached.
    """

    index: dict[Any, int]
    complete: bool = False
    steps: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    traps: int = 0
    missing: list[int] = field(default_factory=list)

    @property
    def states(self) -> int:
        return len(self.index)

    def finds(self, kind: str) -> bool:
        return self.traps > 0 if kind == "TRAP" else any(text.startswith(kind) for text in self.broken)


def explore(world: World, rules: Rules, *, until: str = "") -> Explored:
    """Visit every state that can be reached, nearest first; with `until`, stop where that kind of problem is found."""
    start = world.representative(rules, world.start)
    found = Explored({start: 0})
    depth, edges, queue = [0], list[list[int]](), deque([start])
    while queue:
        state = queue.popleft()
        here, out, problems = depth[found.index[state]], list[int](), list(world.check(rules, state))
        for step in world.steps(rules, state):
            found.steps += 1
            if isinstance(step, Broken):
                problems.append(step)
                continue
            problems += world.check_step(rules, state, step)
            after = world.representative(rules, step)
            if after not in found.index:
                found.index[after] = len(depth)
                depth.append(here + 1)
                queue.append(after)
            out.append(found.index[after])
        for problem in problems:
            found.broken.setdefault(problem.text, here)
        if until and until != "TRAP" and found.finds(until):
            return found
        edges.append(out)
    found.complete = len(edges) == found.states
    found.traps = _traps(world, found, edges)
    found.missing = [
        number for number, witness in enumerate(world.witnesses) if not any(witness(state) for state in found.index)
    ]
    return found


def _traps(world: World, found: Explored, edges: list[list[int]]) -> int:
    back: list[list[int]] = [[] for _ in edges]
    for before, out in enumerate(edges):
        for after in out:
            back[after].append(before)
    queue = deque(number for state, number in found.index.items() if world.good(state))
    reached = set(queue)
    while queue:
        for before in back[queue.popleft()]:
            if before not in reached:
                reached.add(before)
                queue.append(before)
    return len(edges) - len(reached)
