"""`make manifests`: render the chart for plain kubectl.

    python -m tests.chart.manifests FOLDER

Helm comes from PATH or a wheel, as for the tests.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helms import WHEELS, Helm, helm_of, objects_of

Json = dict[str, Any]

NAMESPACE = "tallystick-system"
CRDS, REST = "tallystick.crds.yaml", "tallystick.yaml"
KEEP = "helm.sh/resource-policy"


def write_manifests(helm: Helm, folder: Path) -> list[Path]:
    """Write both files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered = helm.objects({"crds": {"keep": False}}, namespace=NAMESPACE, flags=["--skip-tests"])
    crds = [body for body in rendered if body["kind"] == "CustomResourceDefinition"]
    rest = [_namespace(), *(body for body in rendered if body["kind"] != "CustomResourceDefinition")]
    written = []
    for name, objects in ((CRDS, crds), (REST, rest)):
        for body in objects:
            # These objects are not those of a release: Helm does not manage them.
            body["metadata"].get("labels", {}).pop("helm.sh/chart", None)
            body["metadata"].get("labels", {}).pop("app.kubernetes.io/managed-by", None)
        path = folder / name
        path.write_text(yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True), encoding="utf-8")
        written.append(path)
    return written


def _namespace() -> Json:
    labels = {"app.kubernetes.io/name": "tallystick", "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for path in write_manifests(helm_of(WHEELS[0], Path(home)), Path(sys.argv[1])):
            sys.stdout.write(f"{path}: {len(objects_of(path.read_text(encoding='utf-8')))} objects\n")
