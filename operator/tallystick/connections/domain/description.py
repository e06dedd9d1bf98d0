"""Describe a ConnectionConfiguration: the part of the status that follows from its tokens, heartbeats and the time."""

from datetime import datetime

from tallystick.connections.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionToken,
    Instances,
    RotationState,
)
from tallystick.connections.domain.heartbeat_records import Grade, HeartbeatRecords, InstanceSummary, summarize
from tallystick.connections.domain.messages import conditions_of, readiness_of
from tallystick.connections.domain.reminders import Reminder, reminder
from tallystick.connections.domain.slots import active_tokens, end_of, unrevoked_tokens
from tallystick.objects.conditions import Description


def describe(configuration: ConnectionConfiguration, records: HeartbeatRecords, now: datetime) -> Description:
    """Describe an object, given the heartbeats of its instances."""
    instances, rotation = summarize(records, now), reminder(configuration, now)
    active = active_tokens(configuration)
    current = active[0] if active else None
    return Description(
        readiness=readiness_of(configuration, instances, now, rotation),
        conditions=tuple(conditions_of(configuration, instances, rotation, now)),
        derived={
            "tokens": [_counted(token, instances) for token in configuration.status.tokens],
            "active_tokens": len(active),
            "current_token_id": current.token_id if current else None,
            "rotation": RotationState[rotation.rotation.name] if rotation else None,
            "instances": _instances(instances, records.unlisted, current.serial if current else None),
        },
        requeue_at=_requeue_at(configuration, instances, rotation),
    )


def _requeue_at(
    configuration: ConnectionConfiguration, instances: InstanceSummary, rotation: Reminder | None
) -> datetime | None:
    """Return when the license expires, an instance has been silent for too long, or a rotation is due."""
    times = [
        *(end_of(token, configuration) for token in unrevoked_tokens(configuration)),
        instances.next_change,
        rotation.next_change if rotation else None,
    ]
    return min((time for time in times if time is not None), default=None)


def _counted(token: ConnectionToken, instances: InstanceSummary) -> ConnectionToken:
    users = len(instances.users.get(token.serial, ()))
    return token if token.instances == users else token.model_copy(update={"instances": users})


def _instances(instances: InstanceSummary, unlisted: int, current: int | None) -> Instances:
    outdated = sum(len(users) for serial, users in instances.users.items() if serial != current)
    return Instances(
        good=instances.grades.get(Grade.GOOD, 0),
        warning=instances.grades.get(Grade.WARNING, 0),
        problem=instances.grades.get(Grade.PROBLEM, 0),
        outdated=outdated,
        unlisted=unlisted,
    )
