"""The source of the connection to a cluster: a flag, KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod."""

import os
from collections.abc import Mapping
from pathlib import Path

from tallystick.kube.kubeconfig import Kubeconfig, read_kubeconfig
from tallystick.kube.kubeconfig_entries import Cluster, KubeconfigError, User

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOME_FILE = "~/.kube/config"
_DEFAULT_NAMESPACE = "default"
VARIABLE = "KUBECONFIG"


def cluster_and_user(
    kubeconfig: Path | None, context: str | None, environment: Mapping[str, str]
) -> tuple[Cluster, User]:
    """Return the API server and the identity that the user has chosen.

    The first of these decides: the flag, KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod. No identity
    replaces a file that the user names.

    Raises:
        KubeconfigError: There is none, or it cannot be used. The text has the next action.
    """
    read = _kubeconfig(kubeconfig, environment)
    if read is None and context is None and (account := _pod_account(environment, POD)):
        return account
    if read is None:
        raise KubeconfigError(
            f"{_HOME_FILE} does not exist or is empty; set {VARIABLE} to the path of a kubeconfig, or write this file"
        )
    return read.selected(context)


def namespace_of(kubeconfig: Path | None, context: str | None, environment: Mapping[str, str]) -> str:
    """Return the namespace in which the user works: that of the context, else `default`.

    Raises:
        KubeconfigError: A kubeconfig cannot be read.
    """
    read = _kubeconfig(kubeconfig, environment)
    return (read.namespace(context) if read is not None else "") or _DEFAULT_NAMESPACE


def _kubeconfig(flag: Path | None, environment: Mapping[str, str]) -> Kubeconfig | None:
    if flag is not None:
        return read_kubeconfig([flag.expanduser()], all_exist=True)
    named = environment.get(VARIABLE, "")
    paths = [Path(os.path.expanduser(one)) for one in named.split(os.pathsep) if one]  # noqa: PTH111 - it never fails
    if paths:
        read = read_kubeconfig(paths, all_exist=False)
        if not read.files:
            raise KubeconfigError(f"{VARIABLE}={named}: no such file; set it to the path of a kubeconfig, or unset it")
        return read
    read = read_kubeconfig([Path(os.path.expanduser(_HOME_FILE))], all_exist=False)  # noqa: PTH111 - it never fails
    # Without any entry, kubectl looks further, too.
    return read if read.clusters or read.users or read.contexts or read.current_context else None


def _pod_account(environment: Mapping[str, str], pod: Path) -> tuple[Cluster, User] | None:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    token, authority = pod / "token", pod / "ca.crt"
    if not host or not port or not token.exists():
        return None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    ca_file = str(authority) if authority.exists() else ""
    return Cluster(server=server, certificate_authority=ca_file), User(token_file=str(token))
