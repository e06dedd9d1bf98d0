"""What a replica of the exchange stores of its heartbeats: one ConfigMap, with a line of JSON for each configuration.

    data:
      <uid>: {"namespace": "edge", "name": "dc-west", "unlisted": 0, "instances": {"press-1": [2, 1795316400]}}

An instance has the running number of the token that it has used last, and when, in seconds since the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tallystick.api.core import CONFIG_MAPS
from tallystick.domain.names import INSTANCES_LABEL, INSTANCES_PREFIX, MANAGED_BY, MANAGER
from tallystick.domain.presence import INSTANCE_ID, Presence, Sighting

SELECTOR = f"{INSTANCES_LABEL}=true"


@dataclass(frozen=True, slots=True)
class Record:
    """The presence at one configuration, which has this name."""

    namespace: str
    name: str
    presence: Presence


_Instance = Annotated[str, StringConstraints(pattern=f"^{INSTANCE_ID.pattern}$")]
_Serial = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Seconds = Annotated[int, Field(ge=0, lt=2**33)]


class _Line(BaseModel):
    """What people or faults may have written into it is not taken for ours."""

    model_config = ConfigDict(extra="ignore")

    namespace: str
    name: str
    unlisted: Annotated[int, Field(ge=0, lt=2**31)] = 0
    instances: dict[_Instance, tuple[_Serial, _Seconds]]


def instance_map_name(replica: str) -> str:
    """Return the name of a replica's ConfigMap."""
    return INSTANCES_PREFIX + replica


def instance_map(namespace: str, replica: str, records: Mapping[str, Record]) -> dict[str, Any]:
    """Return a replica's ConfigMap; `records` are by the uid of the configuration."""
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": instance_map_name(replica),
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER, INSTANCES_LABEL: "true"},
        },
        "data": {uid: _written(record) for uid, record in records.items()},
    }


def stored_records(body: Mapping[str, Any]) -> dict[str, Record]:
    """Read a ConfigMap back. A line that is not ours says nothing: presence is hearsay (S19)."""
    found = {uid: _read(text) for uid, text in (body.get("data") or {}).items()}
    return {uid: record for uid, record in found.items() if record is not None}


def _written(record: Record) -> str:
    instances = {name: (one.serial, one.seen) for name, one in sorted(record.presence.sightings.items())}
    line = _Line(namespace=record.namespace, name=record.name, unlisted=record.presence.unlisted, instances=instances)
    return json.dumps(line.model_dump(), separators=(",", ":"))


def _read(text: str) -> Record | None:
    try:
        line = _Line.model_validate_json(text)
    except ValidationError:
        return None
    sightings = {name: Sighting(serial, seen) for name, (serial, seen) in line.instances.items()}
    return Record(line.namespace, line.name, Presence(sightings, line.unlisted))
