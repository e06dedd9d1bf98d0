"""The Devices of the cache by their PairingToken, and the counts of the rotations that run.

An event of a Device costs a few look-ups here. No event walks over the Devices of a PairingToken, except one that
changes the standing of all of them, such as an abort.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime

from tallystick.controller.part import ObjectReconciler
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts, Target
from tallystick.fleet.domain.readings import device_facts, device_selector, pairing_token_of
from tallystick.fleet.domain.rotation.tally import Tally
from tallystick.objects.ports import Cache, Clock, Cluster, Json
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import Resource

Place = tuple[str, str]  # namespace and name
LookAgain = Callable[[Resource, str, str], None]

# A walk over many Devices lets other work go on after so many.
AT_A_TIME = 250


class DeviceIndex:
    """Which Devices a PairingToken has, and how many of them are in which standing of its rotation.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        clock: Time.
        look_again: Reconciles one object again.
    """

    def __init__(self, cluster: Cluster, cache: Cache, clock: Clock, look_again: LookAgain) -> None:
        self._cluster = cluster
        self._cache = cache
        self._clock = clock
        self._look_again = look_again
        self._token_of: dict[Place, Place] = {}  # of each Device: name and UID of its PairingToken
        self._names: dict[str, set[str]] = {}  # by the UID of the PairingToken
        self._tallies: dict[str, tuple[Place, Tally]] = {}  # by that UID: the running rotation, and its counts
        self._filled = asyncio.Lock()
        self._is_filled = False

    def following(self, devices: ObjectReconciler) -> ObjectReconciler:
        """Return a reconciler of Devices after each run of which the index is current."""
        return _Followed(devices, self)

    async def fill(self) -> None:
        """Read the cache once. From then on, each change of a Device is reconciled, and so followed."""
        async with self._filled:
            if self._is_filled:
                return
            for count, place in enumerate(self._cache.keys(DEVICES), start=1):
                body = self._cache.get(DEVICES, *place)
                if body is not None:
                    self._place(place, body)
                await _let_others_run(count)
            self._is_filled = True

    async def known(self, token_uid: str, names: Iterable[str]) -> set[str]:
        """Return those of some names that are Devices of a PairingToken."""
        await self.fill()
        return self._names.get(token_uid, set()).intersection(names)

    async def count(self, token_uid: str, but: Iterable[str] = ()) -> int:
        """Return the number of Devices of a PairingToken, without some of them."""
        await self.fill()
        names = self._names.get(token_uid, set())
        return len(names) - sum(name in names for name in set(but))

    async def facts(self, namespace: str, token_uid: str) -> AsyncIterator[DeviceFacts]:
        """Yield all Devices of a PairingToken, as the watch has read them."""
        await self.fill()
        for count, name in enumerate(tuple(self._names.get(token_uid, ())), start=1):
            facts = self._read((namespace, name))
            if facts is not None:
                yield facts
            await _let_others_run(count)

    async def listed(self, target: Target) -> AsyncIterator[DeviceFacts]:
        """Yield all Devices of a PairingToken, as the API server has them now."""
        bodies = self._cluster.list(DEVICES, target.namespace, field_selector=device_selector(target.name))
        count = 0
        async for body in bodies:
            if pairing_token_of(body)[1] == target.uid:
                yield device_facts(body)
            count += 1
            await _let_others_run(count)

    async def tally(self, rotation: RotationFacts, target: Target, now: datetime) -> Tally:
        """Return the counts of a rotation. They are built again after a change that concerns all devices."""
        place = (target.namespace, rotation.name)
        running, tally = self._tallies.get(target.uid, (None, None))
        if tally is None or running != place or not tally.fits(rotation, target, now):
            tally = await self._built(place, rotation, target, now)
        for name in tally.overdue(now):
            tally.note(name, self._read((target.namespace, name)), now)
        return tally

    def drop_tally(self, rotation: Place) -> None:
        """Forget the counts of a rotation that is over."""
        self._tallies = {uid: kept for uid, kept in self._tallies.items() if kept[0] != rotation}

    def tallies(self) -> list[Tally]:
        """Return the counts of all rotations that run."""
        return [tally for _, tally in self._tallies.values()]

    def note_fresh(self, body: Json) -> None:
        """Take over a Device that was just read by a request of its own."""
        self._cache.remember(DEVICES, body)
        self.follow(body["metadata"]["namespace"], body["metadata"]["name"])

    def look_at_all_again(self, namespace: str, token_uid: str) -> None:
        """Reconcile all Devices of a PairingToken again."""
        for name in self._names.get(token_uid, ()):
            self._look_again(DEVICES, namespace, name)

    def follow(self, namespace: str, name: str) -> None:
        """Note what a Device is now."""
        place = (namespace, name)
        body = self._cache.get(DEVICES, namespace, name)
        before = self._token_of.get(place)
        if body is None:
            self._forget(place)
        else:
            self._place(place, body)
        after = self._token_of.get(place)
        for token in {before, after}:
            if token is not None:
                self._count(place, token, body if token == after else None)
        if before is not None and after != before:
            self._look_again(PAIRING_TOKENS, namespace, before[0])

    def _count(self, place: Place, token: Place, body: Json | None) -> None:
        running = self._tallies.get(token[1])
        if running is None:
            return
        rotation, tally = running
        if tally.note(place[1], device_facts(body) if body is not None else None, self._clock.now()):
            self._look_again(TOKEN_ROTATIONS, *rotation)

    async def _built(self, place: Place, rotation: RotationFacts, target: Target, now: datetime) -> Tally:
        tally = Tally(rotation, target, now)
        self._tallies[target.uid] = (place, tally)  # changes that come while it is built are noted in it
        try:
            async for device in self.facts(target.namespace, target.uid):
                tally.note(device.name, device, now)
        except BaseException:
            self._tallies.pop(target.uid, None)
            raise
        return tally

    def _read(self, place: Place) -> DeviceFacts | None:
        body = self._cache.get(DEVICES, *place)
        return device_facts(body) if body is not None else None

    def _place(self, place: Place, body: Json) -> None:
        token = pairing_token_of(body)
        known = self._token_of.get(place)
        if known == token:
            return
        if known is not None:
            self._forget(place)
        names = self._names.setdefault(token[1], set())
        # One text and one pair for all Devices of a token.
        self._token_of[place] = next((self._token_of[place[0], name] for name in names), token)
        names.add(place[1])

    def _forget(self, place: Place) -> None:
        token = self._token_of.pop(place, None)
        if token is None:
            return
        names = self._names[token[1]]
        names.discard(place[1])
        if not names:
            del self._names[token[1]]


class _Followed:
    """The reconciler of Devices, which the index follows."""

    def __init__(self, devices: ObjectReconciler, index: DeviceIndex) -> None:
        self._devices = devices
        self._index = index

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Reconcile one Device."""
        try:
            return await self._devices.reconcile(namespace, name)
        finally:
            self._index.follow(namespace, name)


async def _let_others_run(count: int) -> None:
    if count % AT_A_TIME == 0:
        await asyncio.sleep(0)
