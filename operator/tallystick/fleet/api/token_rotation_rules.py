"""The static rules of TokenRotation as CEL. The API server applies them to every client and verb."""

from tallystick.pairing.api.device_project import FINISHED
from tallystick.schema.cel import NAME_FITS, duration_between, holds, unchanged
from tallystick.schema.meta import Rule

_FINAL = [str(state) for state in FINISHED]
_WAITS = ("batches", "maxConcurrency", "windows")


def _kept(field: str, message: str = "") -> Rule:
    return Rule(f"self.{field} == oldSelf.{field}", message or f"{field} is immutable", reason="FieldValueForbidden")


def _lasts(field: str, shortest: str, longest: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || ({duration_between(field, shortest, longest)})",
        f"{field} must be between {shortest} and {longest}",
        field_path=f".{field}",
    )


BATCH_RULES = (Rule("has(self.selector) || has(self.limit)", "a batch needs a selector, a limit or both"),)

WINDOW_RULES = (_lasts("duration", "1m", "168h"),)

STRATEGY_RULES = (
    Rule(
        unchanged("batches"),
        "strategy.batches is immutable: batches are drawn when the rotation starts",
        reason="FieldValueForbidden",
        field_path=".batches",
    ),
    Rule(
        "!has(self.batches) || self.batches.all(one, self.batches.exists_one(other, other.name == one.name))",
        "each batch needs a name of its own",
        field_path=".batches",
    ),
    _lasts("minSuccessTime", "0s", "168h"),
    _lasts("inProgressTimeout", "30s", "168h"),
    _lasts("deadline", "10m", "8760h"),
)

SPEC_RULES = (
    _kept("targetRef"),
    _kept("reason"),
    _kept("oldToken"),
    Rule(
        "self.desiredState == 'Aborted' || oldSelf.desiredState != 'Aborted'",
        "an aborted rotation cannot be resumed; create a new TokenRotation",
        reason="FieldValueForbidden",
    ),
    # Absent is the highest value: all batches may run.
    Rule(
        "!has(self.openBatches) || (has(oldSelf.openBatches) && self.openBatches >= oldSelf.openBatches)",
        "openBatches cannot be lowered; set desiredState: Paused to stop",
        reason="FieldValueForbidden",
    ),
    Rule(
        "self.oldToken != 'RevokeImmediately' || self.reason == 'Compromised'",
        "oldToken: RevokeImmediately is for reason: Compromised",
    ),
    Rule(
        "self.oldToken != 'RevokeImmediately' || !("
        + " || ".join(["has(self.openBatches)", *(f"has(self.strategy.{field})" for field in _WAITS)])
        + ")",
        "oldToken: RevokeImmediately allows no openBatches, batches, maxConcurrency or windows: no device may wait "
        "once its copy is revoked",
    ),
)

COUNT_RULES = (
    Rule(
        "self.total == self.pending + self.inProgress + self.succeeded + self.failed + self.noRotation",
        "the counts must sum to the total",
    ),
)

_OLD_STATE, _STATE = (holds(f"{one}.status.state") for one in ("oldSelf", "self"))
_OLD_DEVICES, _DEVICES = (holds(f"{one}.status.devices") for one in ("oldSelf", "self"))

ROOT_RULES = (
    NAME_FITS,
    Rule(
        f"!({_OLD_STATE}) || !(oldSelf.status.state in {_FINAL}) || ({_STATE} && "
        f"self.status.state == oldSelf.status.state && ({_DEVICES}) == ({_OLD_DEVICES}) && "
        f"(!({_DEVICES}) || self.status.devices == oldSelf.status.devices))",
        "a finished rotation is a record: its state and its counts cannot change",
        field_path=".status.state",
    ),
)
