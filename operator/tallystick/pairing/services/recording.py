"""Record a redemption as a MasterToken: a dry run before the pairing token is consumed, and the create after it.

A quota, a policy or a webhook of the cluster can reject MasterTokens. Then no pairing token may be consumed for one. A
dry run asks the API server to decide, and stores nothing. Its answer counts for some seconds for all redemptions of a
use case in a namespace, so that a redemption sends the same three requests as without it.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader, retry_later
from tallystick.objects.obstacles import rejection_text, words_of
from tallystick.objects.ownership import owner_reference
from tallystick.objects.ports import (
    AlreadyExistsError,
    Clock,
    Cluster,
    ClusterError,
    ConflictError,
    Json,
    NamespaceTerminatingError,
    UnavailableError,
)
from tallystick.objects.status_swap import retried
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterTokenSpec
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, DeletionPolicy, PairingToken
from tallystick.pairing.api.reasons import PairingEventReason
from tallystick.pairing.domain.messages import no_record_text, not_consumed_text
from tallystick.pairing.domain.tokens import master_token_name
from tallystick.schema.meta import API_VERSION

# Seconds after the dry run was sent. A raised quota takes effect quickly, and a storm costs one request a second.
ACCEPTED_SECONDS, REJECTED_SECONDS = 10.0, 1.0
# A cause that a person has to remove lasts longer than a second.
RETRY_AFTER_SECONDS = 5
MOST_KEPT = 10_000

NOT_CONSUMED = "the pairing token was not redeemed, because the service cannot record it now; try again later"
NO_RECORD = (
    "the pairing token was redeemed, but its master token cannot be recorded now; "
    "repeat the request with its key, or get a new pairing token"
)

Key = tuple[str, str]


class RecordRejectedError(NotYetError):
    """The API server rejects the record of a redemption. The client may try again.

    Attributes:
        cause: The reason of the event and of the audit line.
        words: The text of the API server, for the audit log. The client does not get it.
    """

    def __init__(
        self,
        message: str,
        rejection: ClusterError,
        cause: StrEnum = PairingEventReason.MASTER_TOKEN_REJECTED,
    ) -> None:
        super().__init__("temporarily_unavailable", message, retry_after=RETRY_AFTER_SECONDS)
        self.cause = cause
        self.words = words_of(rejection)


@dataclass(frozen=True, slots=True)
class _DryRun:
    sent: float
    task: "asyncio.Task[ClusterError | None]"

    def counts(self, now: float) -> bool:
        """Return whether new requests may use it. One that is under way counts, and one without a response does not."""
        if not self.task.done():
            return True
        if self.task.cancelled() or _is_temporary(self.task.result()):
            return False
        return now - self.sent <= (REJECTED_SECONDS if self.task.result() else ACCEPTED_SECONDS)


class MasterTokenRecords:
    """Checks whether MasterTokens can be recorded, and records them, for one replica."""

    def __init__(self, cluster: Cluster, reader: FreshReader, ctx: Context) -> None:
        self._cluster = cluster
        self._reader = reader
        self._clock: Clock = ctx.clock
        self._events = ctx.events
        self._dry_runs: OrderedDict[Key, _DryRun] = OrderedDict()

    async def check(self, token: PairingToken, computed: MasterTokenSpec) -> None:
        """Return if the MasterToken can be recorded, as far as a dry run shows. It changes nothing.

        Raises:
            RecordRejectedError: The API server rejects it.
            NotYetError: The API server does not respond.
        """
        key, now = (token.metadata.namespace, computed.use_case), self._clock.monotonic()
        if key not in self._dry_runs or not self._dry_runs[key].counts(now):
            self._keep(key, _DryRun(now, asyncio.create_task(self._dry_run(master_token_body(token, computed)))))
        # All waiting requests share the dry run: the cancellation of one of them must not cancel it.
        rejection = await asyncio.shield(self._dry_runs[key].task)
        if rejection is None:
            return
        if _is_temporary(rejection):
            raise _later(rejection)
        self.warn(token, rejection, not_consumed_text(rejection_text(rejection)))
        raise RecordRejectedError(NOT_CONSUMED, rejection)

    async def create(self, token: PairingToken, computed: MasterTokenSpec, *, tries: int) -> Json | None:
        """Create the MasterToken. None: its name is taken, by an earlier try or a forgery (docs/rules.md#s1).

        Raises:
            RecordRejectedError: The API server rejects it, although a dry run passed some seconds ago.
            NotYetError: The API server does not respond.
        """
        body = master_token_body(token, computed)
        try:
            return await retried(self._clock, lambda: self._create_once(body), tries=tries)
        except AlreadyExistsError:
            return None
        except ClusterError as rejection:
            self._dry_runs.pop((token.metadata.namespace, computed.use_case), None)
            metadata = body["metadata"]
            # A quota decides before the API server looks for the name. It may be exhausted by this very MasterToken.
            if await self._reader.get_uncached(MASTER_TOKENS, metadata["namespace"], metadata["name"]) is not None:
                return None
            self.warn(token, rejection, no_record_text(token, rejection_text(rejection)))
            raise RecordRejectedError(NO_RECORD, rejection) from rejection

    async def _create_once(self, body: Json) -> Json:
        try:
            return await self._cluster.create(MASTER_TOKENS, body)
        except (UnavailableError, ConflictError) as error:
            raise _later(error) from error

    async def _dry_run(self, body: Json) -> ClusterError | None:
        try:
            await self._cluster.create(MASTER_TOKENS, body, dry_run=True)
        except AlreadyExistsError:
            return None
        except ClusterError as error:
            return error
        return None

    def _keep(self, key: Key, dry_run: _DryRun) -> None:
        self._dry_runs[key] = dry_run
        self._dry_runs.move_to_end(key)
        if len(self._dry_runs) > MOST_KEPT:
            self._dry_runs.popitem(last=False)

    def warn(
        self,
        token: PairingToken,
        rejection: ClusterError,
        message: str,
        reason: StrEnum = PairingEventReason.MASTER_TOKEN_REJECTED,
    ) -> None:
        """Write a Warning event about the PairingToken, unless its namespace is being deleted."""
        if isinstance(rejection, NamespaceTerminatingError):
            return
        about = {"apiVersion": API_VERSION, "kind": PAIRING_TOKENS.kind, "metadata": token.metadata.to_json()}
        self._events.warn(about, reason.value, message)


def master_token_body(token: PairingToken, computed: MasterTokenSpec) -> Json:
    """Return the MasterToken of a redemption, as it is created."""
    retained = computed.deletion_policy is DeletionPolicy.RETAIN  # it outlives its PairingToken (docs/rules.md#s8)
    return {
        "apiVersion": API_VERSION,
        "kind": MASTER_TOKENS.kind,
        "metadata": {
            "name": master_token_name(computed.token_id),
            "namespace": token.metadata.namespace,
            "ownerReferences": [] if retained else [owner_reference(PAIRING_TOKENS, token.metadata)],
        },
        "spec": computed.to_json(),
    }


def _is_temporary(error: ClusterError | None) -> bool:
    return isinstance(error, (UnavailableError, ConflictError))


def _later(error: ClusterError) -> NotYetError:
    """Return the error for a temporary one. A conflict is that of another create, which changed a quota."""
    return retry_later(error if isinstance(error, UnavailableError) else UnavailableError(str(error)))
