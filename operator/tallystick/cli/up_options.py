"""The options of `tallystick up`, which are checked before anything starts."""

import errno
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import FeatureSettings, feature_settings
from tallystick.errors import InvalidSettingError, TallystickError
from tallystick.install.installation import Installation
from tallystick.kube.connection import Connection
from tallystick.localplane.home import require_not_held
from tallystick.localplane.pki import LOOPBACK
from tallystick.registry import FEATURES
from tallystick.runtime.addresses import Address, names_of_this_machine, parse_address, require_listenable

# The files in the data folder that exist exactly while all parts are ready, last first.
EXCHANGE_URL, KUBECONFIG, CA = "exchange-url", "kubeconfig", "ca.crt"


class UpError(TallystickError):
    """`tallystick up` cannot start or continue. The text has the reason and the next action."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `tallystick up`.

    Args:
        data_dir: The folder for all state, kept between starts. None for a temporary folder.
        context: A context of the user's kubeconfig, to use an existing cluster. None starts a control plane.
        listen: The address of the exchange. The issuer contains it, so it must stay the same. With the address of all
            interfaces, the issuer has that of the loopback interface.
        settings: The settings of the features.
        root: The command line of the processes. A harness replaces it.
        environment: More variables for the processes.
    """

    data_dir: Path | None = None
    context: str | None = None
    listen: str = "127.0.0.1:8443"
    settings: FeatureSettings = field(default_factory=feature_settings)
    root: Sequence[str] = (sys.executable, "-m", "tallystick")
    environment: dict[str, str] = field(default_factory=dict)


def client_address(listen: Address) -> Address:
    """Return the address by which clients on this machine reach the exchange. Tokens contain it."""
    if not listen.is_every_interface:
        return listen
    return Address("::1" if ":" in listen.host else "127.0.0.1", listen.port)


def certificate_names(listen: Address) -> tuple[str, ...]:
    """Return the names in the certificate of an exchange that listens on an address."""
    names = names_of_this_machine() if listen.is_every_interface else (listen.host,)
    return tuple(dict.fromkeys((*LOOPBACK, "::1", *names)))


def announcements(*, with_plane: bool) -> tuple[str, ...]:
    """Return the names of the files that exist exactly while all is ready, the first one to delete first."""
    return (EXCHANGE_URL, KUBECONFIG, CA) if with_plane else (EXCHANGE_URL, CA)


def checked_connection(options: UpOptions) -> Connection | None:
    """Check all options before anything starts. Return the connection to the cluster of `--context`, if it is given."""
    install_parts(Installation(), FEATURES, options.settings)  # it reads the files that the settings name
    listen = parse_address(options.listen)
    if not listen.port:
        raise UpError(f"--listen {options.listen} has no fixed port, but tokens contain it; set one, such as 8443")
    connection = None if options.context is None else _connection(options.context)
    try:
        require_listenable(listen, "--listen")
    except InvalidSettingError as error:
        if options.data_dir is not None:
            require_not_held(options.data_dir)
        busy = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
        fixed = "; tokens contain the address, so keep it the same for one --data-dir" if busy else ""
        raise UpError(f"{error}{fixed}") from error
    return connection


def _connection(context: str) -> Connection:
    try:
        return Connection(context=context)
    except InvalidSettingError as error:
        reason = str(error.__cause__ or error)
        raise UpError(
            f"--context {context} cannot be used: {reason}; `kubectl config get-contexts` lists those of $KUBECONFIG"
        ) from error
