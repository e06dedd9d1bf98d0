"""Keep the certificate of the exchange and its CA in two Secrets of the operator's namespace. Only the leader does.

Every write is conditional, so two leaders make one CA, and a leader that is killed between two writes leaves a state
that the next one completes.
"""

from collections.abc import Callable
from typing import Any

import structlog

from tallystick.controller.serving_plan import (
    Held,
    Names,
    Secret,
    Step,
    Stuck,
    found,
    next_step,
    secret_of,
)
from tallystick.crypto.certificates import new_authority, renewed_authority, serving_certificate
from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.ports import AlreadyExistsError, Cluster, ConflictError, NotFoundError
from tallystick.objects.reasons import SharedReason
from tallystick.runtime.chores import Chore, FirstRun
from tallystick.schema.builtin import SECRETS
from tallystick.schema.times import rfc3339

Json = dict[str, Any]
Bodies = dict[str, Json | None]

LOOK_SECONDS = 10.0
# A run takes at most three steps. Another leader can be faster at each one.
MOST_STEPS = 8

log = structlog.get_logger("tallystick.certificate")


class ServingCertificate:
    """Makes the CA once, and issues and renews the certificate under it.

    Attributes:
        problem: Why the certificate cannot be kept, and what to do; '' if it can.
    """

    def __init__(
        self,
        cluster: Cluster,
        ctx: Context,
        names: Names,
        *,
        on_new_ca: Callable[[], None],
        on_expiry: Callable[[float], None],
    ) -> None:
        """Start without a look at the Secrets.

        Args:
            cluster: The API server.
            ctx: The clock, the audit log and the events.
            names: The Secrets, and the names in the certificate.
            on_new_ca: Called when the CA in the Secrets of tokens must change.
            on_expiry: Takes the time at which the certificate expires, in seconds since 1970.
        """
        self._cluster = cluster
        self._ctx = ctx
        self._names = names
        self._on_new_ca = on_new_ca
        self._on_expiry = on_expiry
        self._ca_pem: str | None = None
        self.problem = ""

    @property
    def chore(self) -> Chore:
        """The work of the leader. It runs once before the first reconciliation, which needs the CA."""
        return Chore(
            every=LOOK_SECONDS,
            run=self.run,
            what="keep the certificate of the exchange",
            first_run=FirstRun.BEFORE_LEADING,
        )

    def ready(self) -> dict[str, str]:
        """Return the members of `/readyz`."""
        return {"certificate": self.problem} if self.problem else {}

    def ca_pem(self) -> str:
        """Return the CA for the Secrets of tokens (PEM).

        Raises:
            NotYetError: It is not known. A Secret without it, or with another one, would lock a client out.
        """
        if self._ca_pem is not None:
            return self._ca_pem
        if self.problem:
            raise NotYetError(SharedReason.CERTIFICATE_BLOCKED, self.problem)
        raise NotYetError("temporarily_unavailable", "the CA of the exchange was not read yet")

    async def run(self) -> None:
        """Take all steps that are due. May raise ClusterError or NotYetError; the next run tries again."""
        for _ in range(MOST_STEPS):
            names = self._names
            bodies = {name: await self._read(name) for name in (names.authority_secret, names.serving_secret)}
            authority = found(bodies[names.authority_secret], names, of_authority=True)
            serving = found(bodies[names.serving_secret], names, of_authority=False)
            self._use(authority, serving)
            step = next_step(authority, serving, names, self._ctx.clock.now())
            self._report(step, bodies)
            if isinstance(step, Stuck) or step is Step.REST:
                return
            self._ctx.server_clock.check()  # clients would reject a certificate of a wrong time
            try:
                await self._take(step, authority, bodies)
            except (AlreadyExistsError, ConflictError):
                log.info("another process has written the Secret first", step=step.value)

    async def _read(self, name: str) -> Json | None:
        try:
            return await self._cluster.get(SECRETS, self._names.namespace, name)
        except NotFoundError:
            return None

    def _use(self, authority: Secret, serving: Secret) -> None:
        """Take the CA for the Secrets of tokens. If its Secret is lost, use the copy beside the certificate."""
        pem: bytes = b""
        if isinstance(authority, Held):
            pem = authority.pair.certificate_pem
        elif isinstance(serving, Held):
            pem = serving.ca_pem
        if isinstance(serving, Held):
            self._on_expiry(serving.pair.certificate.not_valid_after_utc.timestamp())
        if pem and pem.decode() != self._ca_pem:
            is_first, self._ca_pem = self._ca_pem is None, pem.decode()
            if not is_first or self.problem:
                self._on_new_ca()

    async def _take(self, step: Step, authority: Secret, bodies: Bodies) -> None:
        names, now = self._names, self._ctx.clock.now()
        if isinstance(authority, Held) and step is not Step.RENEW_AUTHORITY:
            action = "issue-certificate"
            ca, name = authority.pair, names.serving_secret
            made = serving_certificate(ca, names.in_certificate, now)
            wanted = secret_of(made, name, names, ca_pem=ca.certificate_pem)
        else:
            action = "renew-ca" if isinstance(authority, Held) else "create-ca"
            name = names.authority_secret
            made = renewed_authority(authority.pair, now) if isinstance(authority, Held) else new_authority(now)
            wanted = secret_of(made, name, names)
        await self._write(bodies[name], wanted)
        ends = rfc3339(made.certificate.not_valid_after_utc)
        self._ctx.audit.record(action, "ok", kind="Secret", namespace=names.namespace, name=name, expires=ends)

    async def _write(self, stored: Json | None, wanted: Json) -> None:
        """Create a Secret, or write the data of ours. Labels, annotations and keys of others stay."""
        if stored is None:
            await self._cluster.create(SECRETS, wanted)
            return
        data = {**(stored.get("data") or {}), **wanted["data"]}
        await self._cluster.replace(SECRETS, {**stored, "data": data})

    def _report(self, step: Step | Stuck, bodies: Bodies) -> None:
        text = step.text if isinstance(step, Stuck) else ""
        if text == self.problem:
            return
        self.problem = text
        if not isinstance(step, Stuck):
            log.info("the certificate of the exchange can be kept again")
            return
        log.error("the certificate of the exchange cannot be kept", text=text)
        body = bodies[step.secret] or {"metadata": {"namespace": self._names.namespace, "name": step.secret}}
        about = {"apiVersion": "v1", "kind": "Secret", "metadata": body["metadata"]}
        self._ctx.events.warn(about, SharedReason.CERTIFICATE_BLOCKED, text)
