"""Keep the keyring in order: create the first one, rotate by age, drop unused keys, and report keys that are lost.

A first keyring is created only while no live object names a signing key (docs/rules.md#i25). Otherwise the keyring is
lost: a new one would make all tokens invalid for good, although a backup could restore them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.crypto.keys import Algorithm, SigningKey
from tallystick.errors import InvalidSettingError, NotYetError
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Audit, Clock, Cluster, ClusterError, NotFoundError, RefusedError
from tallystick.schema.meta import Resource
from tallystick.tokens.keyrings import Keyrings
from tallystick.tokens.keys_in_use import UNREADABLE, UncountedError, keys_in_use
from tallystick.tokens.lost_keys import missing_keys_text

# While keys are lost, the objects are counted again after this time: the last token that names a key may be gone.
RECOUNT_SECONDS = 60.0

log = structlog.get_logger("tallystick.keys")


class AllObjects(Protocol):
    """All objects of our kinds, as last read."""

    def everything(self) -> list[tuple[Resource, str, str]]:
        """Return resource, namespace and name of each object."""
        ...

    def get(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object."""
        ...


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The algorithm and the maximum age of signing keys.

    Args:
        algorithm: The algorithm of new keys.
        max_age: The age after which the leader rotates a key.
    """

    algorithm: Algorithm = "ES256"
    max_age: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The objects whose tokens the keyring signs.

    Attributes:
        cluster: The API server.
        kinds: Their kinds, which return the keys that an object's valid tokens name.
        objects: The objects as the watches last read them.
        namespaces: The namespaces that are served; '' means all.
    """

    cluster: Cluster
    kinds: Sequence[Kind]
    objects: AllObjects
    namespaces: Sequence[str] = ("",)


class KeyCare:
    """Creates, rotates and retires the signing keys, and reports lost ones. Only the leader runs it."""

    def __init__(
        self,
        keyrings: Keyrings,
        served: Served,
        policy: KeyPolicy,
        *,
        clock: Clock,
        audit: Audit,
        on_age: Callable[[float], None],
        on_change: Callable[[], None],
    ) -> None:
        """Hold the ports and the policy.

        Args:
            keyrings: The keyring.
            served: All objects, whose tokens name keys.
            policy: The algorithm and the maximum age of keys.
            clock: Time.
            audit: The audit log.
            on_age: Takes the age of the newest key, in seconds, after each run.
            on_change: Called when the keys have changed: then every object is reconciled again.
        """
        self._keyrings = keyrings
        self._served = served
        self._signing_keys = {
            kind.resource: kind.signing_keys for kind in served.kinds if kind.signing_keys is not None
        }
        self._policy = policy
        self._clock = clock
        self._audit = audit
        self._on_age = on_age
        self._on_change = on_change
        self._first: Keyring | None = None
        self._recount_at = 0.0
        self._missing_at = 0.0
        self._uncounted = ""
        self._known: tuple[str, frozenset[str]] | None = None
        self.missing: frozenset[str] = frozenset()
        """The keys that valid tokens name and that the keyring lacks."""

    @property
    def why_not_ready(self) -> str | None:
        """The reason why no token can be issued; None if one can be, or if this replica does not lead."""
        if self._known is None:
            return None
        try:
            self._keyrings.keyring()
        except NotYetError as problem:
            return " ".join(filter(None, (problem.message, self._uncounted)))
        return None

    @property
    def remarks(self) -> dict[str, str]:
        """The members that report lost keys at `/readyz`."""
        if self._keyrings.loss is not None and self._known is not None:
            return {"keyring": self._keyrings.loss.reason}
        return {"signingKeys": missing_keys_text(self.missing)} if self.missing else {}

    async def start(self) -> None:
        """Read the keyring, or create the first one. A lost one does not keep the leader from its other work.

        Raises:
            ClusterError: The API server does not answer. The caller tries again.
            InvalidSettingError: The keyring is of another issuer.
        """
        try:
            await self._read_or_create()
        except (KeyringError, RefusedError) as problem:
            # Revocations need no key. `look` tries again.
            log.warning("the keyring was not read", text=str(problem))
        await self._report()

    async def look(self) -> None:
        """Read the keyring again, or create the first one, and report a change. May raise ClusterError."""
        with suppress(KeyringError, InvalidSettingError):  # `Keyrings.loss` has the text
            await self._read_or_create()
        await self._report()

    async def run(self) -> None:
        """Rotate and retire the keys that are due. May raise ClusterError or NotYetError."""
        rotated = await self._keyrings.rotate_by_age(self._policy.algorithm, self._policy.max_age)
        if rotated is not None:
            self._audit.record("rotate-key", "ok", kid=rotated.entries[-1].key.key_id, reason="age")
        in_use = await self._find_missing()
        # While keys are missing, the keyring may be the wrong one, and the only copy of its keys.
        if not self.missing and self._keyrings.unused(in_use):
            # A watch may be behind, or have lost a kind.
            in_use |= await self._listed()
            for key_id in sorted(await self._keyrings.retire(in_use)):
                self._audit.record("retire-key", "ok", kid=key_id)
        self._on_age(self._keyrings.keyring().newest_age(self._clock.now()).total_seconds())

    async def _read_or_create(self) -> None:
        try:
            await self._keyrings.refresh()
        except NotFoundError:
            if not await self._may_create():
                return
            # The same keyring at each attempt: the answer to an earlier one may be lost.
            now = self._clock.now()
            self._first = self._first or Keyring.first(
                self._keyrings.issuer, SigningKey.generate(self._policy.algorithm), now
            )
            await self._keyrings.create(self._first)
        self._record_creation()

    async def _may_create(self) -> bool:
        """Return whether no live object names a key. A kind that cannot be listed counts as naming one."""
        if self._clock.monotonic() < self._recount_at:
            return False
        try:
            named = await self._cached() or await self._listed()
            self._uncounted = ""
        except UncountedError as problem:
            self._uncounted = f"{problem.message}."
            return False
        if named:
            self._recount_at = self._clock.monotonic() + RECOUNT_SECONDS
        return not named

    def _record_creation(self) -> None:
        """Write the audit line of the first keyring, also if the answer to the create was lost."""
        if self._first is not None and not self._keyrings.loss:
            (entry,) = self._first.entries
            if entry.key.key_id in self._keyrings.ids:
                self._audit.record("create-keyring", "ok", kid=entry.key.key_id)
            self._first = None

    async def _report(self) -> None:
        """After a change of the keys, find the missing ones, and let every object be reconciled again."""
        keyrings = self._keyrings
        known = (keyrings.loss.message if keyrings.loss else "", frozenset(keyrings.ids))
        if known != self._known:
            first_report, self._known = self._known is None, known
            if keyrings.loss is None:
                self._recount_at, self._uncounted = 0.0, ""
            with suppress(UncountedError):  # the next run tries again
                await self._find_missing()
            if not first_report:
                self._on_change()
        elif self.missing and self._clock.monotonic() >= self._missing_at + RECOUNT_SECONDS:
            with suppress(UncountedError):
                await self._find_missing()  # the last token of a missing key may be gone
        if keyrings.ids and keyrings.noted_missing != self.missing:
            await self._note_missing()

    async def _note_missing(self) -> None:
        try:
            await self._keyrings.note_missing(self.missing)
        except ClusterError as error:
            log.warning("the missing keys were not noted", error=type(error).__name__, text=str(error))

    async def _find_missing(self) -> set[str]:
        """Compare the keys that valid tokens name with the keyring, and return the former. May raise NotYetError."""
        in_use = await self._cached()
        self._missing_at = self._clock.monotonic()
        missing = frozenset(in_use - self._keyrings.ids)
        if missing and missing != self.missing:
            log.error("signing keys are lost", text=missing_keys_text(missing))
        self.missing = missing
        return in_use

    async def _cached(self) -> set[str]:
        """Return the IDs of the keys that a valid token names, as the watches have read them."""
        now, objects = self._clock.now(), self._served.objects
        in_use: set[str] = set()
        for resource, namespace, name in objects.everything():
            signing_keys = self._signing_keys.get(resource)
            body = objects.get(resource, namespace, name) if signing_keys is not None else None
            try:
                in_use |= signing_keys(body, now) if signing_keys is not None and body is not None else set()
            except ValidationError as error:
                raise UncountedError(resource.plural, UNREADABLE) from error
            await asyncio.sleep(0)  # there may be many objects, and other tasks have to run
        return in_use

    async def _listed(self) -> set[str]:
        served = self._served
        return set(await keys_in_use(served.cluster, served.kinds, self._clock.now(), namespaces=served.namespaces))
