"""`tallystick demo`: the main job on a control plane of our own, one step at a time, for a person to read."""

import base64
import json
import shlex
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from rich.console import Console

from tallystick.cli.up import Up, UpOptions, up
from tallystick.domain.errors import TallystickError
from tallystick.localplane.probe import free_ports

ASKED_FOR = """\
apiVersion: tallystick.dev/v1alpha1
kind: PairingToken
metadata:
  name: site-a
  namespace: default
spec:
  purpose: Service
  useCase: mission-control
"""
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"


class DemoError(TallystickError):
    """A step did not go as it should."""


def run_demo() -> None:
    """Start everything on free ports, play the story, and end it."""
    console = Console(highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, style="dim", markup=False)

    began = time.monotonic()
    options = UpOptions(listen=f"127.0.0.1:{free_ports(1)[0]}")
    console.rule("Tallystick: from a PairingToken to a master token")
    with up(options, say) as running:
        _Story(console, running).tell()
    console.rule(f"Done in {time.monotonic() - began:.0f} s. Try it yourself: tallystick up")


@dataclass(slots=True)
class _Story:
    console: Console
    running: Up
    number: int = 0

    def tell(self) -> None:
        self._apply()
        token = self._pairing_token()
        master = self._redeem(token)
        self._redeem_again(token)
        bearer = self._verifier()
        self._introspect(master, bearer, active=True)
        self._revoke()
        self._introspect(master, bearer, active=False)

    def _apply(self) -> None:
        self._step("Ask for a pairing token, as YAML")
        self.console.print(ASKED_FOR, style="cyan", markup=False)
        self._kubectl("apply", "-f", "-", given=ASKED_FOR)
        self._kubectl("wait", "--for=condition=Ready", "pairingtoken/site-a", "--timeout=30s")
        self._kubectl("get", "pairingtokens")

    def _pairing_token(self) -> str:
        self._step("The token is in a Secret, and nowhere else")
        self._kubectl("get", "secret", "site-a-pairing-token", "--show-labels")
        secret = self._quietly("get", "secret", "site-a-pairing-token", "-o", "json")
        token = base64.b64decode(json.loads(secret)["data"]["token"]).decode()
        self._show("The token", token)
        return token

    def _redeem(self, token: str) -> str:
        self._step("The other service exchanges it for a master token, once (RFC 8693)")
        status, answer = self._post("/oauth2/token", self._exchange(token))
        self._expect(status == HTTPStatus.OK, f"the exchange answered {status}")
        master = str(answer.pop("access_token"))
        self._show("Master token", master)
        self._print_json(answer)
        self._kubectl("get", "pairingtokens,mastertokens")
        return master

    def _redeem_again(self, token: str) -> None:
        self._step("Whoever finds the pairing token later gets nothing")
        status, answer = self._post("/oauth2/token", self._exchange(token))
        self._expect(status == HTTPStatus.BAD_REQUEST, f"the exchange answered {status}")
        self.console.print(f"  HTTP {status}", style="yellow")
        self._print_json(answer)

    def _verifier(self) -> str:
        self._step("A verifier asks whether the master token is good (RFC 7662), by its Kubernetes identity")
        self._kubectl("create", "serviceaccount", "verifier")
        role = ("--clusterrole=tallystick-introspect", "--serviceaccount=default:verifier")
        self._kubectl("create", "rolebinding", "verifier-introspects", *role)
        return self._quietly("create", "token", "verifier", f"--audience={self.running.url}").strip()

    def _introspect(self, master: str, bearer: str, *, active: bool) -> None:
        deadline = time.monotonic() + 15
        while True:
            _, answer = self._post("/oauth2/introspect", {"token": master}, {"Authorization": f"Bearer {bearer}"})
            # A revocation is seen within a second; RBAC that was just made, within a few.
            if answer.get("active") is active or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self._expect(answer.get("active") is active, f"introspection says {answer}")
        self._print_json(answer)

    def _revoke(self) -> None:
        self._step("The trust is ended, in Git or by hand: spec.revoked: true")
        self._kubectl("patch", "pairingtoken", "site-a", "--type=merge", "-p", '{"spec":{"revoked":true}}')
        self._kubectl("wait", "--for=jsonpath={.status.state}=Revoked", "pairingtoken/site-a", "--timeout=30s")
        self._kubectl("get", "pairingtokens,mastertokens")
        self._step("From that moment the master token is worth nothing")

    def _exchange(self, token: str) -> dict[str, str]:
        return {"grant_type": GRANT, "subject_token": token, "subject_token_type": JWT}

    def _step(self, what: str) -> None:
        self.number += 1
        self.console.print(f"\n{self.number}. {what}", style="bold", markup=False)

    def _show(self, what: str, token: str) -> None:
        self.console.print(f"  {what}: {token[:8]}... ({len(token)} characters, not shown)", markup=False)

    def _print_json(self, answer: Mapping[str, Any]) -> None:
        self.console.print("  " + json.dumps(answer, indent=2).replace("\n", "\n  "), markup=False)

    def _expect(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise DemoError(f"step {self.number} did not go as it should: {otherwise}")

    def _kubectl(self, *arguments: str, given: str = "") -> None:
        self.console.print(f"  $ {shlex.join(('kubectl', *arguments))}", style="green", markup=False)
        self.console.print("  " + self._quietly(*arguments, given=given).strip().replace("\n", "\n  "), markup=False)

    def _quietly(self, *arguments: str, given: str = "") -> str:
        command = [str(self.running.kubectl), f"--kubeconfig={self.running.kubeconfig}", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 - a list, no shell
        self._expect(done.returncode == 0, f"kubectl {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def _post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(  # noqa: S310 - the exchange that this command has started
            self.running.url + path, data=urlencode(form).encode(), headers=dict(headers or {})
        )
        context = ssl.create_default_context(cafile=str(self.running.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310 - as above
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)
