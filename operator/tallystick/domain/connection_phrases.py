"""What a ConnectionConfiguration says of itself, with what to do next: the words of `kubectl get` and `describe`."""

from datetime import datetime

from tallystick.api.connection_configuration import ConnectionConfiguration, ConnectionTokenState
from tallystick.domain.conditions import Remark, Verdict
from tallystick.domain.names import connection_secret_name
from tallystick.domain.presence import Attendance, named
from tallystick.domain.reminders import Reminder, Rotation
from tallystick.domain.slots import active_tokens, license_is_over, live_tokens
from tallystick.domain.times import rfc3339


def verdict_of(configuration: ConnectionConfiguration, attendance: Attendance, now: datetime) -> Verdict:
    """Return what is to be said of an object whose tokens are as its status has them."""
    if configuration.metadata.deletion_timestamp is not None:
        message = "the object is being deleted: its tokens are revoked"
        return Verdict(ready=False, reason="ConfigurationDeleted", message=message, reconciling=True)
    if license_is_over(configuration, now):
        return Verdict(ready=False, reason="LicenseExpired", message=license_text(configuration), stalled=True)
    pending = [token.slot for token in live_tokens(configuration) if token.state is ConnectionTokenState.PENDING]
    active = active_tokens(configuration)
    if pending or not active:
        slots = ", ".join(reversed(pending)) or "the spec"
        return Verdict(ready=False, reason="Issuing", message=f"a token is being issued for {slots}", reconciling=True)
    where = f"Secret {configuration.metadata.namespace}/{connection_secret_name(configuration)}"
    if len(active) == 1:
        message = f"{where} holds the token of slot {active[0].slot}; to generate a new one, add a slot to spec.tokens"
        return Verdict(ready=True, reason="Issued", message=message)
    new, old = active
    users = attendance.users.get(old.serial, ())
    use = "uses" if len(users) == 1 else "use"
    left = f"{_instances(users)} still {use} it: {named(users)}" if users else "no instance is known to use it"
    message = (
        f"2 tokens are active: register the one of slot {new.slot} ({where}, key token) on all instances, then remove "
        f"slot {old.slot} from spec.tokens to revoke the old one; {left}"
    )
    return Verdict(ready=True, reason="Issued", message=message)


def remarks_of(
    configuration: ConnectionConfiguration, attendance: Attendance, reminder: Reminder | None, now: datetime
) -> list[Remark]:
    """Return what is to be said beside whether the object is ready."""
    return [
        *_license_remark(configuration, now),
        *_reminders(configuration, reminder),
        *_cut_off(configuration, attendance),
    ]


def license_text(configuration: ConnectionConfiguration) -> str:
    """Say that the licence is over, and what it has done (R35)."""
    end = configuration.spec.license_expires_at
    expired = f"license expired at {rfc3339(end)}" if end is not None else "license expired"
    done = "no token was issued" if configuration.status.last_serial is None else "all tokens are revoked"
    return f"{expired}; {done}; a later spec.licenseExpiresAt issues a new one"


def still_in_use_text(token_id: str, users: tuple[str, ...]) -> str:
    """Say whom the end of a token cuts off (R23)."""
    return f"{_instances(users)} last used token {token_id}: {named(users)}"


def deleted_text(token_ids: tuple[str, ...]) -> str:
    """Say what has ended with an object (R36)."""
    return f"the object was deleted, and ended {'token' if len(token_ids) == 1 else 'tokens'} {', '.join(token_ids)}"


def mismatch_text(token_id: str, issued_for: str, used_in: str) -> str:
    """Say that a token is used in another deployment type than its own (R39, R41)."""
    return f"token {token_id} was issued for deployment type {issued_for} and cannot be used in {used_in}"


def _license_remark(configuration: ConnectionConfiguration, now: datetime) -> list[Remark]:
    end = configuration.spec.license_expires_at
    if end is None:
        return []
    if license_is_over(configuration, now):
        return [Remark("LicenseValid", holds=False, reason="LicenseExpired", message=license_text(configuration))]
    message = f"all tokens die at {rfc3339(end)}"
    return [Remark("LicenseValid", holds=True, reason="LicenseValid", message=message)]


def _reminders(configuration: ConnectionConfiguration, reminder: Reminder | None) -> list[Remark]:
    if reminder is None or reminder.rotation is Rotation.CURRENT:
        return []
    policy, since = configuration.spec.rotation_policy, rfc3339(reminder.issued)
    how = "add a slot to spec.tokens, register its token on all instances, then remove the old slot"
    recommended = f"the newest token is from {since}, more than {policy.recommend_after} ago; to rotate, {how}"
    said = [Remark("RotationRecommended", holds=True, reason="TokenAge", message=recommended)]
    if reminder.rotation is Rotation.OVERDUE:
        overdue = f"the newest token is from {since}, more than {policy.require_after} ago; rotate now: {how}"
        said.append(Remark("RotationOverdue", holds=True, reason="TokenAge", message=overdue))
    return said


def _cut_off(configuration: ConnectionConfiguration, attendance: Attendance) -> list[Remark]:
    active = active_tokens(configuration)
    serials = {token.serial for token in active}
    cut_off = tuple(
        sorted(name for serial, users in attendance.users.items() if serial not in serials for name in users)
    )
    if not active or not cut_off:
        return []
    message = (
        f"{_instances(cut_off)} last used a revoked token: {named(cut_off)}; "
        f"register the token of slot {active[0].slot} there"
    )
    return [Remark("InstancesCutOff", holds=True, reason="TokenStillInUse", message=message)]


def _instances(users: tuple[str, ...]) -> str:
    return f"{len(users)} instance" + ("" if len(users) == 1 else "s")
