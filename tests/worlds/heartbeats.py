"""Heartbeats as instances send them, the problems that refuse them, and what is stored of those that are taken."""

import json

from tallystick.connections.domain.instance_maps import stored_records
from tallystick.schema.builtin import CONFIG_MAPS

PATH = "/v1/connections/edge/dc-west/heartbeat"
GOOD = {"instance_id": "press-1", "deployment_type": "Kubernetes"}
JSON = {"Content-Type": "application/json"}
INVALID_BEARER = 'Bearer error="invalid_token"'


def shown(jwt: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {jwt}"}


def problem(code: str, title: str, status: int, detail: str) -> dict[str, object]:
    return {"type": f"urn:problem:{code}", "title": title, "status": status, "detail": detail}


async def beat(client, jwt, body=GOOD, *, path=PATH):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(path, data=data, headers=shown(jwt))


async def seen(replica) -> list[str]:
    """The instances that are stored."""
    await replica.store_heartbeats()
    body = replica.cluster.peek(CONFIG_MAPS, "tallystick-system", "tallystick-instances-one")
    return [name for record in stored_records(body or {}).values() for name in record.heartbeats.last_seen]
