"""A life of tokens and keys in which everything goes wrong while a process holds them, for a search afterwards."""

import base64
import json
import re
import secrets as random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.pairing.domain.use_cases import use_cases
from tallystick.tokens.keyrings import stored_keyring
from tests.harness.canary import Hit, Needle, of_key, of_token, of_value
from tests.harness.grants import grant
from tests.harness.leaks import MAIN, Order, Orders
from tests.harness.objects import a_pairing_token, secret_of, value_of
from tests.harness.own_system import OwnSystem
from tests.harness.pairing_site import VERIFIER, Site
from tests.harness.processes import poll
from tests.harness.system import HEALTH_PAGES

Json = dict[str, Any]

KEYRING = (DEFAULT_NAMESPACE, KEYRING_SECRET)
# What fails, how, and at which call; the text of the error holds every secret that there is.
CONTROLLER_FAULTS = (
    ("bug", "create", "secrets"),
    ("unavailable", "create", "secrets"),
    ("refused", "replace_status", "pairingtokens"),
)
EXCHANGE_FAULTS = (
    ("bug", "get", "pairingtokens"),
    ("unavailable", "create", "mastertokens"),
    ("refused", "get", "mastertokens"),
)
CALLER_FAULT = ("bug", "create", "tokenreviews")
PLACES = ("folder", "variable", "error", "client id", "requester", "annotation", "field manager", "event")


@dataclass(frozen=True, slots=True)
class Planted:
    """Values that are no secrets and are put into sinks, one for each way there. Nothing redacts them.

    They are 48 hex digits, which no key has, and a digest that is named so.
    """

    values: dict[str, str]
    needles: set[Needle]

    @classmethod
    def fresh(cls) -> "Planted":
        values = {place: random.token_hex(24) for place in (*PLACES, "temporary file")}
        values["use cases"] = use_cases().digest
        return cls(values, {needle for place, value in values.items() for needle in of_value(place, value.encode())})


@dataclass(slots=True)
class Life:
    """The secrets of a system, and what happens to them."""

    system: OwnSystem
    site: Site
    folder: Path
    planted: Planted
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    needles: set[Needle] = field(default_factory=set, repr=False)
    holders: set[tuple[str, str]] = field(default_factory=lambda: {KEYRING})
    by_design: set[Hit] = field(default_factory=set)
    failures: int = 0
    ends: int = 1

    def live(self, name: str) -> None:
        """One life: issue, heal, redeem, misuse, faults, outage, crash."""
        self.prepare()
        self.pair(name)
        self.misplace(name)
        self.fail_at_calls(name)
        self.fail_with_the_api_server(name)
        self.fail_for_good(name)
        # The Secrets of what was spent are gone soon; those that stay are known.
        poll(lambda: self._secrets_there() <= self.holders)

    def _secrets_there(self) -> set[tuple[str, str]]:
        found = self.site.api.find_all("Secret", self.site.namespace)
        return {(self.site.namespace, secret["metadata"]["name"]) for secret in found}

    def prepare(self) -> None:
        """Know the secrets that are there from the start, plant the controls, and leave one token waiting."""
        if self.secrets:
            return
        site = self.site
        (entry,) = stored_keyring(site.api.get(_secret(*KEYRING))).entries
        self._note_key("signing key", entry.key)
        self.planted.needles.update(of_value("key id", entry.key.key_id.encode()))
        self._note_token("verifier's bearer", site.bearer)
        for process in (CONTROLLER, EXCHANGE):
            file = self.system.up.folder / "run" / f"{process}.token"
            self._note_token(f"{process}'s bearer", file.read_text())
            self.by_design.add(Hit(str(file), f"{process}'s bearer"))
        self._plant()
        self._note_token("waiting token", site.issue("waiting", ttl="24h"))
        self.holders.add((site.namespace, "waiting-pairing-token"))

    def pair(self, name: str) -> None:
        """The usual way, by somebody whose name is searched for, with a key, asked again, healed, introspected."""
        site, key = self.site, SigningKey.generate("ES256")
        body = site.pairing_token(name, ttl="1h")
        site.api.as_user(self.planted.values["requester"]).kubectl_apply(body).must_succeed()
        pairing = site.issued(name)
        secret = site.api.get(secret_of(body))
        site.api.merge(secret, {"data": {"token": base64.b64encode(b"forged").decode()}}).must_succeed()
        poll(lambda: value_of(site.api.get(secret_of(body)), "token") == pairing)
        proof = site.exchange.proof(key)
        client_id = self.planted.values["client id"]
        master = site.exchange.redeem(pairing, proof=proof, client_id=client_id).must_succeed()["access_token"]
        for secret_name, token in (("pairing token", pairing), ("master token", master), ("DPoP proof", proof)):
            self._note_token(f"{name}: {secret_name}", token)
        self._note_key(f"{name}: DPoP key", key)
        site.exchange.redeem(pairing, key=key).must_succeed()
        assert site.exchange.redeem(pairing).status == 400
        assert site.is_active(master)

    def misplace(self, name: str) -> None:
        """Clients send secrets to where they do not belong."""
        site, exchange = self.site, self.site.exchange
        pairing, master = self.secrets[f"{name}: pairing token"], self.secrets[f"{name}: master token"]
        exchange.get(f"/oauth2/token?subject_token={pairing}")
        exchange.get(f"/{master}")
        exchange.redeem(master)
        exchange.redeem(pairing, scope=master)
        exchange.redeem(pairing, proof=master)
        exchange.introspect(site.bearer, master)
        exchange.introspect(pairing, site.bearer)
        exchange.post("/oauth2/introspect", {"token": master, master: pairing}, {"Authorization": pairing})
        self._send_rubbish(f"GET /{master} HTTP/9 {pairing}\r\n{pairing}\r\n: {master}\r\n\r\n")
        exchange.revoke(master)

    def fail_at_calls(self, name: str) -> None:
        """Bugs and refusals at single calls; after each, the work comes to its end."""
        site = self.site
        for number, fault in enumerate(CONTROLLER_FAULTS):
            failing = f"{name}-controller-{number}"
            self._fail(CONTROLLER, fault, partial(self._create, failing))
            self._note_token(f"{failing}: pairing token", site.issued(failing))
            self.holders.add((site.namespace, f"{failing}-pairing-token"))
        for number, fault in enumerate(EXCHANGE_FAULTS):
            failing, key = f"{name}-exchange-{number}", SigningKey.generate("ES256")
            # A master token that outlives its pairing token is read again before it is handed out.
            token = site.issue(failing, masterToken={"deletionPolicy": "Retain"})
            self._note_token(f"{failing}: pairing token", token)
            self._fail(EXCHANGE, fault, partial(site.exchange.redeem, token, key=key))
            site.exchange.redeem(token, key=key).must_succeed()
        bearer = site.api.request_token(site.namespace, VERIFIER, site.exchange.issuer)
        self._note_token(f"{name}: bearer", bearer)
        self._fail(EXCHANGE, CALLER_FAULT, partial(site.exchange.introspect, token, bearer))

    def fail_with_the_api_server(self, name: str) -> None:
        """The API server answers 500, and then not at all."""
        site, failing = self.site, f"{name}-server"
        token = site.issue(f"{failing}-before")
        webhook = {**_WEBHOOK, "metadata": {"name": failing}}
        site.api.kubectl("create", "-f", "-", stdin=json.dumps(webhook))
        poll(
            lambda: "failed calling webhook" in site.api.create(_secret(site.namespace, "probe"), dry_run=True).message
        )
        log = self.system.up.folder / "controller.log"
        reported = log.read_text().count("failed calling webhook")
        self._create(failing)
        poll(lambda: log.read_text().count("failed calling webhook") > reported)
        assert site.exchange.redeem(token).status == 503
        site.api.kubectl("delete", "validatingwebhookconfiguration", failing)
        self._note_token(f"{failing}: pairing token", site.issued(failing))
        self.holders.add((site.namespace, f"{failing}-pairing-token"))
        self.system.plane.kill_apiserver()
        answers = (site.exchange.redeem(site_token := self.secrets["waiting token"]), site.exchange.revoke(site_token))
        self.system.plane.restart_apiserver()
        assert [answer.status for answer in answers] == [503, 503]
        poll(lambda: site.api.create(site.pairing_token("probe"), dry_run=True).succeeded)
        self.system.recover()
        self.failures += 3

    def fail_for_good(self, name: str) -> None:
        """Neither process can read the keyring; then one dies of that, and the other of what it never catches."""
        dying = [(("bug", "get", "secrets"), process) for process in (EXCHANGE, CONTROLLER)]
        dying[self.ends % 2] = (("bug", MAIN, ""), dying[self.ends % 2][1])
        self.ends += 1
        refused = [(("unavailable", "get", "secrets"), process) for process in (EXCHANGE, CONTROLLER)]
        for faults in (refused, dying):
            given = [self._order(process, fault) for fault, process in faults]
            for orders in given:
                orders.take_back()
            self.failures += len(given)
        poll(lambda: not any(child.running for child in self.system.up.children.values()))
        self.system.up.restart_what_ended(lambda _: None)
        poll(lambda: self.site.exchange.ready().status == HTTPStatus.OK)
        self._note_token(f"{name}: afterwards", self.site.issue(f"{name}-afterwards"))
        self.holders.add((self.site.namespace, f"{name}-afterwards-pairing-token"))

    def exchange_page(self, page: str) -> bytes:
        """A page of the exchange as it comes."""
        exchange = self.site.exchange
        return exchange.page(page) if page in HEALTH_PAGES else exchange.pool.request("GET", exchange.url + page).data

    def controller_page(self, page: str) -> bytes:
        """A page of the controller's own small HTTP server, which its command line names."""
        pid = self.system.up.children[CONTROLLER].pid
        flags = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        listen = flags[flags.index("--health-listen") + 1]
        return urllib3.request("GET", f"http://{listen}{page}", retries=False, timeout=30.0).data

    def _create(self, name: str) -> None:
        self.site.api.create(self.site.pairing_token(name)).must_succeed()

    def _fail(self, process: str, fault: tuple[str, str, str], provoke: Callable[[], object]) -> None:
        orders = self._order(process, fault)
        provoke()
        orders.take_back()
        self.failures += 1

    def _order(self, process: str, fault: tuple[str, str, str]) -> Orders:
        orders = Orders(self.folder / "orders", process)
        text = f"{self.planted.values['error']}: {' '.join(self.secrets.values())} {self.secrets!r}"
        orders.give(Order(*fault, text=text))
        return orders

    def _note_token(self, name: str, token: str) -> None:
        self.secrets[name] = token
        self.needles |= of_token(name, token)

    def _note_key(self, name: str, key: SigningKey) -> None:
        self.secrets[name] = key.to_pem().decode()
        self.needles |= of_key(name, key)

    def _plant(self) -> None:
        site, values = self.site, self.planted.values
        requester = values["requester"]
        for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
            grant(site.api, site.namespace, requester, role)
        site.issue("planted")
        place = ("--namespace", site.namespace)
        note = f"note={values['annotation']}"
        manager = f"--field-manager={values['field manager']}"
        site.api.kubectl("annotate", "pairingtoken", "planted", note, manager, *place)
        site.api.kubectl("annotate", "secret", "tallystick-keyring", note, "--namespace", DEFAULT_NAMESPACE)
        site.api.create(_event(site.namespace, values["event"])).must_succeed()
        (self.folder / "tmp" / "planted").write_text(values["temporary file"])
        self.holders.add((site.namespace, "planted-pairing-token"))

    def _send_rubbish(self, text: str) -> None:
        """What is no HTTP: a parser's complaint may quote it."""
        host, port = re.findall(r"//([^:]+):(\d+)", self.site.exchange.url)[0]
        context = ssl.create_default_context(cafile=str(self.system.up.ca_file))
        with (
            socket.create_connection((host, int(port)), timeout=30.0) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(text.encode())
            connection.recv(1024)


def _secret(namespace: str, name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}}


def _event(namespace: str, message: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "planted", "namespace": namespace},
        "involvedObject": {**a_pairing_token(namespace, "planted")["metadata"], "kind": "PairingToken"},
        "message": message,
        "reason": "Planted",
        "type": "Warning",
    }


# Nothing listens there, so the API server answers what it guards with 500.
_WEBHOOK: Json = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "webhooks": [
        {
            "name": "away.tallystick.example",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [
                {
                    "apiGroups": ["", "tallystick.dev"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE"],
                    "resources": ["secrets", "mastertokens"],
                }
            ],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }
    ],
}
