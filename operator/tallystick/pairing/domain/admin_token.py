"""The first admin token: its record, its MasterToken and its Secret (docs/rules.md#r95 to docs/rules.md#r103).

All follow from one record, which a swap writes to the Secret with the signing keys before anything else. So an attempt
that a crash ends, or a second leader, can make the same token again and no other.
"""

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallystick.objects.held_secrets import secret_body
from tallystick.objects.ownership import SecretForm
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenSpec
from tallystick.pairing.api.pairing_token import DeletionPolicy
from tallystick.pairing.domain.tokens import master_token_name
from tallystick.pairing.domain.use_cases import RESERVED
from tallystick.schema.meta import API_VERSION, GROUP
from tallystick.schema.times import rfc3339, whole_second

Json = dict[str, Any]

TRIGGER = "generate.token.json"
"""The name of the ConfigMap that asks for the token, in the operator's namespace. Its content does not matter."""
ADMIN_REQUESTER = "bootstrap:admin"
"""The name of the holder as the requester of a pairing token (docs/rules.md#s27)."""
ADMIN_ACCOUNT = "bootstrap-admin"
"""The ServiceAccount that stands for the holder if the operator runs with `--requester ServiceAccount`."""
LIFETIME = timedelta(minutes=15)  # docs/rules.md#r100
SUBJECT, AUDIENCE, SCOPE = "admin", "jfac@*", "applied-permissions/admin"

ADMIN_SECRET = "token.json"  # noqa: S105 - the name of a Secret
ADMIN_SECRET_FORM = SecretForm(suffix="", type=f"{GROUP}/admin-token", keys=frozenset({ADMIN_SECRET}))


class AdminToken(BaseModel):
    """An admin token, as it is recorded before it is made.

    Attributes:
        trigger: The uid of the ConfigMap.
        token_id: The `jti` of the token.
        issued_time: The `iat` of the token.
        key_id: The signing key.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    trigger: str
    token_id: Annotated[str, Field(alias="tokenID")]
    issued_time: Annotated[datetime, Field(alias="issuedTime")]
    key_id: Annotated[str, Field(alias="kid")]


class Record(BaseModel):
    """The generations that have had their admin token. All up to this one have.

    Attributes:
        generation: The value of `--bootstrap-generation`. None: the controller that begins to lead next sets its own.
        token: The token of this generation. None if the keyring was restored or replaced since.
        marked_time: When that was.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    generation: Annotated[int, Field(ge=1)] | None = None
    token: AdminToken | None = None
    marked_time: Annotated[datetime | None, Field(alias="markedTime")] = None

    @property
    def time(self) -> datetime | None:
        """Admin tokens that were issued later are not on record."""
        return self.token.issued_time if self.token is not None else self.marked_time

    def to_text(self) -> str:
        """Return the value of the annotation."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def recorded(annotation: str | None, now: datetime) -> Record | None:
    """Read the annotation; None if there is none. A value that is not ours counts as a mark: no token is made."""
    if annotation is None:
        return None
    try:
        return Record.model_validate_json(annotation)
    except ValidationError:
        return mark(now)


def mark(now: datetime) -> Record:
    """Return the mark of a keyring that was restored or replaced at this time (docs/rules.md#s27)."""
    return Record(marked_time=whole_second(now))


def new_record(*, generation: int, trigger: str, now: datetime, key_id: str) -> Record:
    """Return the record of a token that is issued now. Its `jti` is derived, so two leaders derive the same one."""
    token_id = str(uuid.uuid5(uuid.UUID(trigger), f"bootstrap/{generation}"))
    token = AdminToken(trigger=trigger, token_id=token_id, issued_time=whole_second(now), key_id=key_id)
    return Record(generation=generation, token=token)


def admin_master_token(token: AdminToken, namespace: str) -> Json:
    """Return the MasterToken of an admin token, as it is created."""
    spec = MasterTokenSpec(
        token_id=token.token_id,
        key_id=token.key_id,
        use_case=RESERVED,
        scope=[SCOPE],
        audience=[AUDIENCE],
        subject=SUBJECT,
        issued_time=token.issued_time,
        expiration_time=token.issued_time + LIFETIME,
        deletion_policy=DeletionPolicy.REVOKE,
    )
    metadata = {"name": master_token_name(token.token_id), "namespace": namespace}
    return {
        "apiVersion": API_VERSION,
        "kind": MASTER_TOKENS.kind,
        "metadata": metadata,
        "spec": spec.to_json(),
    }


def is_admin_token(token: MasterToken) -> bool:
    """Return whether a MasterToken is that of an admin token: only the controller can create one without a pairing."""
    return token.spec.pairing_token_ref is None and token.spec.use_case == RESERVED


def is_unrecorded(token: MasterToken, record: Record | None) -> bool:
    """Return whether an admin token was made that the record does not know: the keyring is older than the token."""
    known = record.time if record is not None else None
    return is_admin_token(token) and (known is None or token.spec.issued_time > known)


def admin_secret(token: MasterToken, content: str) -> Json:
    """Return the Secret of an admin token: the only place where its value is stored (docs/rules.md#r97)."""
    return secret_body(
        ADMIN_SECRET,
        ADMIN_SECRET_FORM,
        {ADMIN_SECRET: content},
        owner=(MASTER_TOKENS, token.metadata),
        token_id=token.spec.token_id,
    )


def made_text(record: Record) -> str:
    """Return the message for a trigger that is ignored, because its generation has had a token."""
    again = f"set --bootstrap-generation to {(record.generation or 0) + 1} for another"
    if record.token is None:
        when = f" at {rfc3339(record.marked_time)}" if record.marked_time else ""
        return f"the keyring was restored or replaced{when}, so an admin token may have been made before; {again}"
    return f"an admin token was made at {rfc3339(record.token.issued_time)}; {again}"


def too_late_text(record: Record) -> str:
    """Return the message for a trigger whose token was not stored in time."""
    return f"the admin token was not stored before its Secret was due to be deleted; {made_text(record)}"


def not_served_text() -> str:
    """Return the message for an operator that does not serve its own namespace."""
    return (
        "no admin token is made, because the operator does not serve its own namespace; "
        "add this namespace to --watch-namespaces"
    )
