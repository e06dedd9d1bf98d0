"""Start a rotation: one swap of the status of its PairingToken takes the lock and ends the old value.

    swap of PairingToken.status -> draw the batches -> TokenRotation is Running

If the controller stops in between, the next leader finds the lock of this rotation, and goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.domain.batches import draw
from tallystick.fleet.domain.counts import is_member
from tallystick.fleet.domain.facts import RotationFacts, Target
from tallystick.fleet.domain.readings import rotation_facts, target_of, target_status
from tallystick.fleet.domain.rotation.status import counted, opened
from tallystick.fleet.domain.starting import Decision, GoOn, Start, decide, started
from tallystick.fleet.services.device_index import DeviceIndex
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster, Json, NotFoundError
from tallystick.objects.status_swap import swap_status
from tallystick.pairing.api.device_project import RotationState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.enrollment_values import value_id
from tallystick.schema.times import whole_second


def target_index(namespace: str, name: str) -> str:
    """Return the text by which the cache finds the TokenRotations of a PairingToken."""
    return f"{PAIRING_TOKENS.kind}/{namespace}/{name}"


@dataclass(frozen=True, slots=True)
class NotIssued:
    """The PairingToken has no value yet, so there is none to replace."""


@dataclass(frozen=True, slots=True)
class _Named:
    """The facts on which the batch of a device depends. The rest of it is not kept while the batches are drawn."""

    name: str
    labels: Mapping[str, str]


class Starting:
    """Decides whether a rotation may start, and starts it."""

    def __init__(self, cluster: Cluster, cache: Cache, index: DeviceIndex, ctx: Context) -> None:
        self._cluster = cluster
        self._cache = cache
        self._index = index
        self._ctx = ctx

    async def take_lock(self, rotation: TokenRotation) -> Decision | NotIssued:
        """Take the lock of the PairingToken, or return why not; GoOn if the rotation holds it.

        Raises:
            ClusterError: It is not known whether the rotation holds the lock. The next attempt finds out.
        """
        facts, name = rotation_facts(rotation), rotation.spec.target_ref.name
        decision: Decision | NotIssued = decide(facts, None, (), self._ctx.clock.now())

        async def read() -> Json | None:
            return await self.read_token(rotation.metadata.namespace, name)

        async def change(raw: Json) -> Json | None:
            nonlocal decision
            token = PairingToken.model_validate(raw)
            target = target_of(token)
            decision = decide(facts, target, self._others(rotation), self._ctx.clock.now())
            if not isinstance(decision, Start):
                return None
            if token.status.generation is None:
                decision = NotIssued()
                return None
            return target_status(token.status, target, started(target, facts)).to_json()

        swapped = await swap_status(self._cluster, self._ctx.clock, PAIRING_TOKENS, read=read, change=change)
        if swapped is None:
            return decision
        self._cache.remember(PAIRING_TOKENS, swapped.after)
        return GoOn(target_of(PairingToken.model_validate(swapped.after)).generation)

    async def first_status(self, rotation: TokenRotation, target: Target, generation: int) -> dict[str, Any]:
        """Return the members of the status of a rotation that has just taken the lock: batches, counts and times."""
        now = whole_second(self._ctx.clock.now())
        facts = replace(rotation_facts(rotation), generation=generation, start_time=now, state=RotationState.RUNNING)
        members = await self._members(facts, target) if facts.strategy.batches else []
        facts = replace(facts, cuts=draw(members, facts.strategy.batches))
        counts = (await self._index.tally(facts, target, now)).counts
        return {
            "state": RotationState.RUNNING,
            "generation": generation,
            "old_token_id": value_id(target.uid, target.serial, generation - 1),
            "new_token_id": value_id(target.uid, target.serial, generation),
            "start_time": now,
            **opened(facts, None),
            **counted(facts, counts, (), now),
        }

    async def _members(self, facts: RotationFacts, target: Target) -> list[_Named]:
        return [
            _Named(device.name, device.labels)
            async for device in self._index.facts(target.namespace, target.uid)
            if is_member(device, facts, target)
        ]

    async def read_token(self, namespace: str, name: str) -> Json | None:
        """Read the PairingToken by a request of its own; None if it does not exist."""
        try:
            return await self._cluster.get(PAIRING_TOKENS, namespace, name)
        except NotFoundError:
            return None

    def _others(self, rotation: TokenRotation) -> list[RotationFacts]:
        """Return the other rotations of the same PairingToken."""
        meta = rotation.metadata
        index = target_index(meta.namespace, rotation.spec.target_ref.name)
        bodies = (self._cache.get(TOKEN_ROTATIONS, *key) for key in self._cache.depending_on(TOKEN_ROTATIONS, index))
        others = [TokenRotation.model_validate(body) for body in bodies if body is not None]
        return [rotation_facts(other) for other in others if other.metadata.uid != meta.uid]
