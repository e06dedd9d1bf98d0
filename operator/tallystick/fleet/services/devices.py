"""Reconcile one Device: record the revocation that its spec or its PairingToken requests, and report a lost key.

The exchange obeys the request as soon as it is stored. The controller writes it into the status, so that it lasts
longer than the PairingToken that requested it, and so that users see it.
"""

from tallystick.fleet.api.device import Device, DeviceState
from tallystick.fleet.domain.copies import keys_in_use
from tallystick.fleet.domain.device_description import describe_device
from tallystick.fleet.domain.device_messages import ENROLL_AGAIN
from tallystick.fleet.domain.readings import device_facts, has_revoked
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster
from tallystick.objects.reasons import SharedReason
from tallystick.objects.reconciler import Observed, Reconciler
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.tokens.lost_keys import lost_keys_text
from tallystick.tokens.signer import Signer

Seen = Observed[Device]


class Devices:
    """The reconciler of Devices. Only the leader runs it, for one object at a time."""

    def __init__(self, cluster: Cluster, cache: Cache, signer: Signer, ctx: Context) -> None:
        self._cache = cache
        self._signer = signer
        self._reconciler = Reconciler(
            Device, describe_device, cluster, cache, ctx, facts=lambda device: {"serial": device.spec.serial}
        )

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Take all steps that one object needs. Raises ClusterError or NotYetError if a later attempt may succeed."""
        return await self._reconciler.run(namespace, name, self._act)

    async def _act(self, seen: Seen) -> Result | None:
        device = seen.object
        if device.status.state is not DeviceState.REVOKED and (why := self._why_revoked(device)) is not None:
            revoked = await self._reconciler.record(seen, {"state": DeviceState.REVOKED})
            self._reconciler.audit("revoke", seen, token_id=device.status.token_id, reason=why)
            self._reconciler.warn_readiness(revoked)
            return None
        if device.status.state is None:
            return Result()  # it has never checked in: its first check-in writes the status, and no one waits for it
        return await self._stall_on_lost_keys(seen) or await self._reconciler.done(seen)

    async def _stall_on_lost_keys(self, seen: Seen) -> Result | None:
        """Report that a copy of the device cannot be verified, because its key is lost; None if it is not.

        A lost keyring concerns all devices alike. Their PairingToken reports it, and not 100,000 writes.
        """
        key_ids = keys_in_use(device_facts(seen.raw), None)
        loss = self._signer.loss(key_ids) if key_ids else None
        if loss is None:
            return None
        if loss.lost is not SharedReason.SIGNING_KEY_MISSING:
            return Result()
        text = lost_keys_text(loss, key_ids, ENROLL_AGAIN)
        return await self._reconciler.stall(seen, loss.lost, text, retry=False)

    def _why_revoked(self, device: Device) -> str | None:
        """Return which object revokes the device; None if it is not revoked."""
        if device.spec.revoked:
            return "spec.revoked"
        reference = device.spec.pairing_token_ref
        raw = self._cache.get(PAIRING_TOKENS, device.metadata.namespace, reference.name)
        if raw is None or raw["metadata"]["uid"] != reference.uid:
            return None
        return PAIRING_TOKENS.kind if has_revoked(raw, device.spec.serial) else None
