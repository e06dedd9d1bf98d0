"""Which ConnectionConfigurations there are, how old their tokens are, and which of them have gone.

An object without a finalizer is gone before anybody hears of it (R36): what is remembered here tells what it ended.
"""

from dataclasses import dataclass
from datetime import datetime

from tallystick.api.connection_configuration import (
    CONNECTION_CONFIGURATIONS,
    ConnectionConfiguration,
    RevocationReason,
)
from tallystick.domain.connection_phrases import deleted_text
from tallystick.domain.reminders import Rotation, reminder
from tallystick.domain.slots import live_tokens
from tallystick.services.ports import Json
from tallystick.services.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class _Counted:
    uid: str
    token_ids: tuple[str, ...]
    issued: datetime | None
    rotation: Rotation | None


class Census:
    """What the leader knows of all ConnectionConfigurations. Counts are of when each was looked at last."""

    def __init__(self, around: Surroundings) -> None:
        self._clock = around.clock
        self._audit = around.audit
        self._events = around.events
        self._counted: dict[tuple[str, str], _Counted] = {}

    def note(self, configuration: ConnectionConfiguration) -> None:
        """Take an object in, as it is now."""
        meta = configuration.metadata
        known = self._counted.get((meta.namespace, meta.name))
        if known is not None and known.uid != meta.uid:
            self.gone(meta.namespace, meta.name)  # and was made again
        age = reminder(configuration, self._clock.now())
        self._counted[meta.namespace, meta.name] = _Counted(
            uid=meta.uid,
            token_ids=tuple(token.token_id for token in live_tokens(configuration)),
            issued=age.issued if age else None,
            rotation=age.rotation if age else None,
        )

    def gone(self, namespace: str, name: str) -> None:
        """Say of an object that is not there any more what ended with it."""
        known = self._counted.pop((namespace, name), None)
        if known is None or not known.token_ids:
            return
        reason = RevocationReason.CONFIGURATION_DELETED.value
        about = {"kind": CONNECTION_CONFIGURATIONS.kind, "namespace": namespace, "name": name, "uid": known.uid}
        for token_id in known.token_ids:
            self._audit.record("revoke", "ok", **about, token_id=token_id, reason=reason)
        self._events.warn(_remains(about), reason, deleted_text(known.token_ids))

    def oldest_age(self) -> float:
        """Return how old, in seconds, the newest active token of an object is, where it is oldest (R19); 0: none."""
        issued = [counted.issued for counted in self._counted.values() if counted.issued is not None]
        return max(0.0, (self._clock.now() - min(issued)).total_seconds()) if issued else 0.0

    def count(self, rotation: Rotation) -> int:
        """Return how many objects are reminded of a rotation in this way."""
        return sum(counted.rotation is rotation for counted in self._counted.values())


def _remains(about: dict[str, str]) -> Json:
    return {
        "apiVersion": CONNECTION_CONFIGURATIONS.api_version,
        "kind": about["kind"],
        "metadata": {key: about[key] for key in ("namespace", "name", "uid")},
    }
