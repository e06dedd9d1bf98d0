"""Store and share the first key of a JoinKey: seal it, then write its copies. The caller records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey, SealedCopy
from tallystick.clusterkeys.api.reasons import JoinKeyReason
from tallystick.clusterkeys.domain.join_key_copies import SEALED_KEY, places, sealed_name, sealed_place, sealed_texts
from tallystick.clusterkeys.domain.join_key_messages import (
    KEY_REUSE_TEXT,
    Problem,
    conflict_problem,
    provided_problem,
    unopened_problem,
)
from tallystick.clusterkeys.domain.join_key_replacement import FIRST_VERSION, first_picture, source_of
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose
from tallystick.clusterkeys.domain.sealing import SealProblem, sealed_kid
from tallystick.clusterkeys.services.join_key_finding import KeyFinder
from tallystick.clusterkeys.services.join_key_replacing import DEFAULT_BITS, Random, clock_problem
from tallystick.clusterkeys.services.join_key_sealing import is_reused, open_text, recorded_copy, seal_picture
from tallystick.clusterkeys.services.join_key_secrets import Attempt, JoinKeySecrets
from tallystick.clusterkeys.services.join_key_sharing import Seen, Sharing, audit_seal, target_statuses
from tallystick.clusterkeys.services.master_keyring import MasterKeys
from tallystick.objects.context import Context
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.ports import AlreadyExistsError, ConflictError
from tallystick.objects.reconciler import Reconciler


@dataclass(frozen=True, slots=True)
class Issued:
    """The first key of a join key, which all Secrets hold that can be written.

    Attributes:
        seen: The object, with its finalizer if it has one.
        changes: The members of the status that record the key.
        fingerprint: The key.
    """

    seen: Seen
    changes: Mapping[str, Any]
    fingerprint: str


class Issuing:
    """Stores and shares the first keys of JoinKeys.

    Args:
        secrets: The Secrets of JoinKeys.
        finder: Gives the master keys.
        sharing: Writes the copies.
        reconciler: Writes the audit log.
        random: Returns so many random bytes.
        ctx: Time.
    """

    def __init__(
        self,
        secrets: JoinKeySecrets,
        finder: KeyFinder,
        sharing: Sharing,
        reconciler: Reconciler[JoinKey],
        random: Random,
        ctx: Context,
    ) -> None:
        self._secrets = secrets
        self._finder = finder
        self._sharing = sharing
        self._reconciler = reconciler
        self._random = random
        self._ctx = ctx

    async def issue(self, seen: Seen, provided: ClusterKey | KeyProblem | None) -> Issued | Problem:
        """Store and share the first key; return the problem for which it waits."""
        unsafe = clock_problem(self._ctx)
        if unsafe is not None:
            return unsafe
        masters = await self._finder.masters_of(seen.object)
        if isinstance(masters, Problem):
            return masters
        attempt = self._secrets.of(seen.object)
        meta = seen.object.metadata
        if self._secrets.cached(meta.namespace, sealed_name(seen.object)) is None:
            key = self._first_key(seen.object, provided)
            if isinstance(key, Problem):
                return key
            try:
                sealed = await self._create(seen, key, masters)
            except AlreadyExistsError:  # an attempt before this one has stored a key, or the Secret is not ours
                return await self._adopt(seen, attempt, masters)
            return sealed if isinstance(sealed, Problem) else await self._share(seen, attempt, key, sealed)
        return await self._adopt(seen, attempt, masters)

    def _first_key(self, join_key: JoinKey, provided: ClusterKey | KeyProblem | None) -> ClusterKey | Problem:
        match provided:
            case ClusterKey():
                return provided
            case KeyProblem():
                return provided_problem(provided)
            case None:
                return ClusterKey.generate(Purpose.JOIN, join_key.spec.key_size or DEFAULT_BITS, self._random)

    async def _create(self, seen: Seen, key: ClusterKey, masters: MasterKeys) -> SealedCopy | Problem:
        """Create the sealed copy. Only one create of a name succeeds, so it decides which key it is."""
        picture = first_picture(key.fingerprint)
        keys = {key.fingerprint: key}
        sealed = seal_picture(seen.object, picture, keys, masters, kept={}, random=self._random)
        if isinstance(sealed, Problem):
            return sealed
        await self._secrets.sealed.create(sealed.body)
        action = "generate-key" if seen.object.spec.secret_ref is None else "import-key"
        self._reconciler.audit(action, seen, key_id=key.fingerprint, version=FIRST_VERSION)
        audit_seal(self._reconciler, seen, picture.signs, sealed.status)
        return sealed.status

    async def _adopt(self, seen: Seen, attempt: Attempt, masters: MasterKeys) -> Issued | Problem:
        """Go on with the key that is sealed already."""
        body = await attempt.sealed()
        if body is None:
            raise ConflictError("the sealed copy was deleted in the meantime")
        if isinstance(body, SecretConflict):
            return conflict_problem(seen.object, sealed_place(seen.object))
        key = open_text(seen.object, body, SEALED_KEY, masters, FIRST_VERSION)
        if not isinstance(key, ClusterKey):
            return unopened_problem(seen.object, key.text if isinstance(key, SealProblem) else "it holds no key")
        if is_reused(key, masters):
            return Problem(JoinKeyReason.KEY_REUSE, KEY_REUSE_TEXT)
        master_key_id = sealed_kid(sealed_texts(body)[SEALED_KEY]) or masters.newest.fingerprint
        return await self._share(seen, attempt, key, recorded_copy(body, master_key_id))

    async def _share(self, seen: Seen, attempt: Attempt, key: ClusterKey, sealed: SealedCopy) -> Issued:
        join_key, picture = seen.object, first_picture(key.fingerprint)
        seen = await self._sharing.hold(seen)
        keys = {key.fingerprint: key}
        outcomes = await self._sharing.share(seen, attempt, places(join_key), picture, keys)
        changes = {
            "fingerprint": key.fingerprint,
            "key_version": FIRST_VERSION,
            "key_size": key.bits,
            "source": source_of(join_key),
            "serial": join_key.spec.serial,
            "sealed": sealed,
            "targets": target_statuses(join_key, outcomes, FIRST_VERSION),
        }
        return Issued(seen, changes, key.fingerprint)
