"""Accept the proofs of possession of one endpoint (RFC 9449, docs/rules.md#s14)."""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.crypto.dpop import InvalidProofError, verify_proof
from tallystick.errors import ExchangeRefusedError
from tallystick.objects.ports import Audit, Clock


@dataclass(frozen=True, slots=True)
class Proofs:
    """The proofs that clients send to one endpoint, by POST.

    Attributes:
        urls: The public URLs of the endpoint. A proof must be for one of them.
        clock: The time at which a proof is verified.
        audit: The audit log, for proofs that are not valid.
        action: The action in the audit log.
    """

    urls: tuple[str, ...]
    clock: Clock
    audit: Audit
    action: str

    def proven_key(
        self, unverified_proofs: Sequence[str], *, access_token: str | None = None, source: str
    ) -> str | None:
        """Return the thumbprint of the key whose possession the client proves; None without a proof.

        Args:
            unverified_proofs: The values of the header `DPoP`.
            access_token: The token that the proof must belong to, by its claim `ath`.
            source: The address of the client, for the audit log.

        Raises:
            ExchangeRefusedError: The proof is not valid, or there is more than one.
        """
        if not unverified_proofs:
            return None
        try:
            if len(unverified_proofs) > 1:
                raise InvalidProofError("Repeated")  # RFC 9449, section 4.3, check 1
            return verify_proof(
                unverified_proofs[0],
                method="POST",
                urls=self.urls,
                now=self.clock.now(),
                access_token=access_token,
            )
        except InvalidProofError as invalid:
            self.audit.record(self.action, "refused", reason=f"Proof{invalid.reason}", source=source)
            raise ExchangeRefusedError("invalid_dpop_proof", str(invalid)) from None
