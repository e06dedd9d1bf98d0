"""Take a place for a new device, and create its Device by it.

The swaps of one PairingToken queue up in a replica: they would only conflict with each other. A swap also counts the
devices that this replica has created since the one before, because only so many places may wait to be counted.
"""

import asyncio
from collections import OrderedDict
from weakref import WeakValueDictionary

from tallystick.errors import NotYetError
from tallystick.fleet.api.device import DEVICES, DeviceSpec, PairingTokenRef
from tallystick.fleet.domain.enrolling import PLACE_USED, Presented, TakePlace, decide, settled, with_place
from tallystick.fleet.domain.facts import Enrolling, Target
from tallystick.fleet.domain.readings import target_of, target_status
from tallystick.fleet.services.copies import DeviceCopies
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.obstacles import rejection_text
from tallystick.objects.ownership import owner_reference
from tallystick.objects.ports import (
    AlreadyExistsError,
    Cluster,
    ConflictError,
    Json,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tallystick.objects.reasons import SharedReason
from tallystick.objects.status_swap import try_swap
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.schema.meta import API_VERSION

# A cause that a person has to remove lasts longer than a second.
RETRY_AFTER_SECONDS = 5
# The leader counts the devices of the PairingToken that this replica forgets, because others enroll devices.
MOST_REMEMBERED = 10_000


class Places:
    """The two writes of an enrollment, for one replica."""

    def __init__(
        self,
        cluster: Cluster,
        reader: FreshReader,
        copies: DeviceCopies,
        ctx: Context,
        *,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._copies = copies
        self._most = most
        self._clock = ctx.clock
        self._events = ctx.events
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # By the UID of the PairingToken: the places whose Device this replica has created, until they are counted.
        self._created: OrderedDict[str, frozenset[Enrolling]] = OrderedDict()

    def counted(self, target: Target) -> Target:
        """Return the PairingToken as it is after the devices that this replica has created are counted."""
        names = {entry.name for entry in self._created.get(target.uid, ()) if entry in target.enrolling}
        return settled(target, names, (), self._clock.now()) if names else target

    async def take(self, presented: Presented, token: PairingToken) -> PairingToken | None:
        """Take a place, and return the PairingToken as it was stored; None if the caller must decide again.

        Raises:
            NotYetError: The PairingToken cannot be read or written now.
        """
        where = (PAIRING_TOKENS, token.metadata.namespace, token.metadata.name)
        async with self._turn(presented.uid):
            raw = await self._reader.get_uncached(*where)
            # After the PairingToken: if the same key has enrolled meanwhile, its Device may be counted already. If it
            # enrolls from now on, the swap conflicts.
            enrolled = await self._reader.get_uncached(DEVICES, token.metadata.namespace, presented.device_name)
            stored = await self._swapped(presented, raw) if raw is not None and enrolled is None else None
            self._reader.forget(*where)  # the next request reads at least this write
        return None if stored is None else PairingToken.model_validate(stored)

    async def create(self, presented: Presented, token: PairingToken, display_name: str | None) -> Json | None:
        """Create the Device of a place; None if one of its name exists, or this is unclear.

        Raises:
            NotYetError: The API server rejects the Device. The place stays for ten minutes.
        """
        now = self._clock.now()
        place = next((one for one in target_of(token).enrolling if one.name == presented.device_name), None)
        if place is None or now - place.time >= PLACE_USED:
            return None  # the leader may give the place up while the request is under way
        body = device_body(presented, token, key_id=self._copies.signing_key_id(now), display_name=display_name)
        try:
            created = await self._cluster.create(DEVICES, body)
        except (AlreadyExistsError, ConflictError):
            return None
        except UnavailableError as error:
            await self._clock.pause(error.retry_after)
            return None
        except (RefusedError, NotFoundError) as rejection:
            if not isinstance(rejection, NamespaceTerminatingError):
                text = f"the exchange enrolled no device: {rejection_text(rejection)}"
                self._warn(token, text)
            text = "the device was not enrolled, because the service cannot record it now; try again later"
            raise NotYetError("temporarily_unavailable", text, retry_after=RETRY_AFTER_SECONDS) from rejection
        self._created[presented.uid] = self._created.pop(presented.uid, frozenset()) | {place}
        if len(self._created) > self._most:
            self._created.popitem(last=False)
        return created

    async def _swapped(self, presented: Presented, raw: Json) -> Json | None:
        """Swap the status, if the decision is still the same by this reading."""
        token, now = PairingToken.model_validate(raw), self._clock.now()
        before = target_of(token)
        target = self.counted(before)
        decision = decide(presented, target, None, now)
        if not isinstance(decision, TakePlace):
            return None
        status = target_status(token.status, before, with_place(target, decision.entry)).to_json()
        try:
            stored = await try_swap(self._cluster, self._clock, PAIRING_TOKENS, raw, status)
        except RefusedError as rejection:
            self._warn(token, f"the exchange enrolled no device: {rejection_text(rejection)}")
            text = "the device was not enrolled, because the service cannot record it now; try again later"
            raise NotYetError("temporarily_unavailable", text, retry_after=RETRY_AFTER_SECONDS) from rejection
        if stored is not None:
            self._forget_counted(target_of(PairingToken.model_validate(stored)))
        return stored

    def _forget_counted(self, target: Target) -> None:
        """Keep only the places that are still to be counted."""
        left = self._created.pop(target.uid, frozenset()).intersection(target.enrolling)
        if left:
            self._created[target.uid] = left

    def _warn(self, token: PairingToken, message: str) -> None:
        about = {"apiVersion": API_VERSION, "kind": PAIRING_TOKENS.kind, "metadata": token.metadata.to_json()}
        self._events.warn(about, SharedReason.WRITE_REJECTED.value, message)

    def _turn(self, uid: str) -> asyncio.Lock:
        turn = self._turns.get(uid)
        if turn is None:
            turn = self._turns[uid] = asyncio.Lock()
        return turn


def device_body(presented: Presented, token: PairingToken, *, key_id: str, display_name: str | None) -> Json:
    """Return the Device of an enrollment, as it is created.

    Args:
        presented: The facts of the value and of the device.
        token: Its PairingToken. Labels are copied from it, and never come from a request.
        key_id: The key that signs the first copy.
        display_name: The name that the device gives itself.
    """
    meta = token.metadata
    spec = DeviceSpec(
        pairing_token_ref=PairingTokenRef(name=meta.name, uid=meta.uid),
        serial=presented.serial,
        generation=presented.generation,
        key_id=key_id,
        project_key=token.spec.project_key or "",
        key_thumbprint=presented.proved_key,
        display_name=display_name,
    )
    return {
        "apiVersion": API_VERSION,
        "kind": DEVICES.kind,
        "metadata": {
            "name": presented.device_name,
            "namespace": meta.namespace,
            "labels": dict(token.spec.device_labels or {}),
            "ownerReferences": [owner_reference(PAIRING_TOKENS, meta)],
        },
        "spec": spec.to_json(),
    }
