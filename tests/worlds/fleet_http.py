"""One exchange replica that serves devices over HTTP."""

import json
from dataclasses import dataclass

from tallystick.exchange.limits import FailureLimits
from tests.builders import ISSUER
from tests.worlds.fleet_world import Agent, FleetWorld
from tests.worlds.replica import GENEROUS, Replica

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


@dataclass
class FleetHttp(FleetWorld):
    """A project of devices, and one replica with all its routes."""

    limits: FailureLimits = GENEROUS
    issuer: str = ISSUER

    def __post_init__(self) -> None:
        self.http = Replica(issuer=self.issuer, clock=self.clock, limits=self.limits)
        self.cluster, self.signer, self.keys = self.http.cluster, self.http.signer, self.http
        self.ids, self.audit, self.events = self.http.ids, self.http.audit, self.http.events

    def client(self):
        """A client on a port of its own."""
        return self.http.client()


async def post_enrollment(client, agent: Agent, value: str, *, body: bytes | None = None, **headers: str):
    """Send an enrollment, and keep the copy of a good answer."""
    proof = {"DPoP": agent.enrollment(value).unverified_proofs[0]} if agent.has_key else {}
    sent = {"Authorization": f"Bearer {value}", **proof, **(JSON if body is not None else {}), **headers}
    answer = await client.post("/v1/devices", data=body, headers=sent)
    if answer.status in (200, 201):
        found = await answer.json()
        agent.name = found["device_id"]
        agent.keep(found["token"])
    return answer


async def post_check_in(client, agent: Agent, copy: str = "", *, body: object = None, **headers: str):
    """Send a check-in with a copy, by default the newest, and keep what is handed out."""
    copy = copy or agent.copies[0]
    request = agent.request(copy)
    proof = {"DPoP": request.unverified_proofs[0]} if agent.has_key else {}
    scheme = "DPoP" if agent.has_key else "Bearer"
    sent = {"Authorization": f"{scheme} {copy}", **proof, **(JSON if body is not None else {}), **headers}
    data = json.dumps(body).encode() if body is not None else None
    answer = await client.post(f"/v1/devices/{agent.name}/check-in", data=data, headers=sent)
    if answer.status in (200, 204) and copy == agent.upcoming:
        agent.proved, agent.upcoming = copy, ""
    if answer.status == 200:
        agent.keep((await answer.json())["token"])
    return answer


async def problem_of(answer) -> tuple[int, str, str, str]:
    """Status, type, title and detail of a problem."""
    assert answer.content_type == PROBLEM
    body = await answer.json(content_type=PROBLEM)
    assert body["status"] == answer.status
    return answer.status, body["type"], body["title"], body["detail"]
