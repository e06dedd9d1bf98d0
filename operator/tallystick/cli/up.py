"""`tallystick up`: all of Tallystick on one machine, in the foreground, with one line per part as it gets ready."""

import asyncio
import os
import signal
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from types import FrameType

from tallystick.api.core import SECRETS
from tallystick.cli.identities import RENEW_SECONDS, Identity
from tallystick.cli.settings import DEFAULT_NAMESPACE, host_and_port, load_use_cases
from tallystick.domain.errors import TallystickError
from tallystick.domain.names import KEYRING_SECRET
from tallystick.domain.requester import RequesterMode
from tallystick.install.apply import FIELD_MANAGER, install
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.children import Child
from tallystick.localplane.folders import data_folder, private_folder, write_private
from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.plane import ControlPlane, PlaneOptions
from tallystick.localplane.probe import free_ports, port_is_free
from tallystick.services.keyrings import stored_keyring
from tallystick.services.ports import ClusterError, NotFoundError

READY_SECONDS = 60.0
POLL_SECONDS = 0.2
# A part that ends is started again; one that ends at once, again and again, must not burn the machine.
RESTART_SECONDS = 2.0

Say = Callable[[str], None]


class UpError(TallystickError):
    """`tallystick up` cannot start or go on. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `tallystick up` is told.

    Args:
        data_dir: where all state lives and survives a restart; None for a temporary folder.
        context: a context of the user's kubeconfig, to use a cluster that exists; None starts a control plane.
        listen: where the exchange listens. It is part of the issuer's name, so it has to stay the same.
        root: the command line of the processes; a harness puts its own here.
        environment: more variables for the processes.
    """

    data_dir: Path | None = None
    context: str | None = None
    listen: str = "127.0.0.1:8443"
    requester: RequesterMode = RequesterMode.POLICY
    use_cases_file: Path | None = None
    root: Sequence[str] = (sys.executable, "-m", "tallystick")
    environment: dict[str, str] = field(default_factory=dict)


class Up:
    """The running whole. Made by `up`, from the main thread."""

    def __init__(
        self,
        options: UpOptions,
        folder: Path,
        connection: Connection,
        kubeconfig: Path | None,
        plane: ControlPlane | None = None,
    ) -> None:
        self._options = options
        self._plane = plane
        self.folder = folder
        self._connection = connection
        self.kubeconfig = kubeconfig
        self._run = private_folder(folder / "run")
        self.url = f"https://{options.listen}"
        self.ca_file = folder / "ca.crt"
        self._identities = [Identity(DEFAULT_NAMESPACE, name, self._run) for name in (CONTROLLER, EXCHANGE)]
        self._children: dict[str, Child] = {}
        self._health_port = free_ports(1)[0]
        self._authority, self._serving = prepare_serving(self._run, "exchange", now=datetime.now(UTC))

    @property
    def kubectl(self) -> Path:
        """The kubectl that fits: the control plane's own, or the user's."""
        return self._plane.binaries.kubectl if self._plane is not None else Path("kubectl")

    @property
    def children(self) -> dict[str, Child]:
        """The processes by name: `controller` and `exchange`."""
        return dict(self._children)

    def start(self, say: Say) -> None:
        """Install, start both processes, and return when both are ready."""
        say("Installing CRDs, admission policies and RBAC ...")
        asyncio.run(self._install(say))
        say("CRDs, admission policies and RBAC are in force.")
        write_private(self.ca_file, self._authority.certificate.read_bytes())
        self._spawn(CONTROLLER, self._controller_flags())
        self._spawn(EXCHANGE, self._exchange_flags())
        self._await(CONTROLLER, f"http://127.0.0.1:{self._health_port}/readyz", None)
        say(f"controller is ready (log: {self._children[CONTROLLER].log}).")
        self._await(EXCHANGE, f"{self.url}/readyz", ssl.create_default_context(cafile=str(self.ca_file)))
        say(f"exchange is ready: {self.url} (log: {self._children[EXCHANGE].log}).")
        # Written last: whoever waits for it finds everything ready.
        write_private(self.folder / "exchange-url", f"{self.url}\n".encode())

    async def _install(self, say: Say) -> None:
        async with self._as_administrator() as admin:
            await self._check_issuer(admin)
            await install(admin, self._installation(), lambda step: say(f"  {step} ..."))
            await self._renew(admin)
        for identity in self._identities:
            identity.write_kubeconfig(self._connection)

    def _as_administrator(self) -> KubeCluster:
        return KubeCluster(self._connection, field_manager=FIELD_MANAGER, timeout_seconds=30.0)

    def _installation(self) -> Installation:
        names = tuple(sorted(load_use_cases(self._options.use_cases_file).rows))
        return Installation(requester=self._options.requester, use_cases=names)

    async def _check_issuer(self, admin: KubeCluster) -> None:
        """Keep to the place that the tokens name; both processes would refuse to run under another one."""
        try:
            keyring = stored_keyring(await admin.get(SECRETS, DEFAULT_NAMESPACE, KEYRING_SECRET))
        except NotFoundError:
            return
        if keyring.issuer != self.url:
            place = keyring.issuer.removeprefix("https://")
            raise UpError(
                f"the tokens that exist here were issued by {keyring.issuer}, and would all die under {self.url}: "
                f"start with --listen {place}, or with another --data-dir"
            )

    async def _renew(self, admin: KubeCluster) -> None:
        for identity in self._identities:
            await identity.renew(admin)

    def renew_identities(self) -> None:
        """Store fresh ServiceAccount tokens."""

        async def renew() -> None:
            async with self._as_administrator() as admin:
                await self._renew(admin)

        asyncio.run(renew())

    def _common_flags(self, identity: Identity) -> list[str]:
        flags = ["--kubeconfig", str(identity.kubeconfig), "--namespace", DEFAULT_NAMESPACE]
        flags += ["--public-urls", self.url, "--requester", self._options.requester.value]
        flags += ["--audit-log", str(self.folder / f"audit-{identity.name}.jsonl")]
        if self._options.use_cases_file is not None:
            flags += ["--use-cases-file", str(self._options.use_cases_file)]
        return flags

    def _controller_flags(self) -> list[str]:
        listen = f"127.0.0.1:{self._health_port}"
        return [*self._common_flags(self._identities[0]), "--ca-file", str(self.ca_file), "--health-listen", listen]

    def _exchange_flags(self) -> list[str]:
        pair = ["--tls-cert", str(self._serving.certificate), "--tls-key", str(self._serving.key)]
        return [*self._common_flags(self._identities[1]), "--listen", self._options.listen, *pair]

    def _spawn(self, name: str, flags: list[str]) -> None:
        command = [*self._options.root, name, *flags]
        log = self.folder / f"{name}.log"
        environment = {**os.environ, **self._options.environment}
        self._children[name] = Child.spawn(name, command, log=log, environment=environment)

    def restart_what_ended(self, say: Say) -> None:
        """Start again what has ended by itself; raises UpError if that was a part of the control plane."""
        failure = self._plane.failure() if self._plane is not None else None
        if failure is not None:
            raise UpError(f"the control plane is gone: {failure}")
        for name, child in list(self._children.items()):
            if child.running:
                continue
            say(f"{name} ended with status {child.exit_status} and is started again (log: {child.log}).")
            time.sleep(RESTART_SECONDS)
            self._spawn(name, self._controller_flags() if name == CONTROLLER else self._exchange_flags())

    def _await(self, name: str, url: str, context: ssl.SSLContext | None) -> None:
        child, deadline = self._children[name], time.monotonic() + READY_SECONDS
        while not _answers(url, context):
            if not child.running:
                raise UpError(child.last_words())
            if time.monotonic() > deadline:
                raise UpError(
                    f"{name} is not ready after {READY_SECONDS:.0f} s; {child.log} ends with:\n{child.tail()}"
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End both processes in good order."""
        for child in self._children.values():
            child.stop(grace=10.0)


@contextmanager
def up(options: UpOptions, say: Say) -> Iterator[Up]:
    """Start everything, yield the running whole, and end it.

    Raises:
        TallystickError: a part cannot start; the text says what to do.
    """
    with ExitStack() as stack:
        host, port = host_and_port(options.listen)
        if not port_is_free(port):
            raise UpError(
                f"{host}:{port} is taken by another process: end it, or choose another place with --listen "
                "(tokens name the place, so keep to it for one data folder)"
            )
        if options.context is None:
            plane = stack.enter_context(ControlPlane.start(PlaneOptions(data_dir=options.data_dir), say))
            connection = Connection(kubeconfig=plane.kubeconfig)
            running = Up(options, plane.data_dir, connection, plane.kubeconfig, plane)
        else:
            folder = data_folder(options.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory())))
            running = Up(options, folder, Connection(context=options.context), None)
        stack.callback((running.folder / "exchange-url").unlink, missing_ok=True)
        stack.callback(running.stop)
        running.start(say)
        yield running


def stay_up(running: Up, say: Say) -> None:
    """Keep everything running until Ctrl-C or SIGTERM."""
    stopped = _StopSignal()
    renewed = time.monotonic()
    while not stopped.wait(1.0):
        running.restart_what_ended(say)
        if time.monotonic() - renewed > RENEW_SECONDS:
            # The tokens are good for a day: an API server that is away now is asked again in an hour.
            with suppress(ClusterError):
                running.renew_identities()
            renewed = time.monotonic()
    say("Stopping ...")


class _StopSignal:
    """Ctrl-C and SIGTERM as something to wait for."""

    def __init__(self) -> None:
        self._received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._received = True

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._received and time.monotonic() < deadline:
            time.sleep(0.1)
        return self._received


def _answers(url: str, context: ssl.SSLContext | None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0, context=context) as answer:  # noqa: S310 - our own child's address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False
