"""The CRDs of all our kinds, built from the models, and the files that hold them."""

from pathlib import Path

from tallystick.api.connection_configuration import ConnectionConfiguration
from tallystick.api.crd import Json, Kind, crd, render
from tallystick.api.master_token import MasterToken
from tallystick.api.pairing_token import PairingToken

KINDS: tuple[type[Kind], ...] = (PairingToken, MasterToken, ConnectionConfiguration)


def crds() -> list[Json]:
    """Build every CRD, in the order in which they are installed."""
    return [crd(kind) for kind in KINDS]


def crd_files() -> dict[str, str]:
    """Give the text of each file of `crds/`, by its name."""
    return {f"{kind.RESOURCE.group}_{kind.RESOURCE.plural}.yaml": render(crd(kind)) for kind in KINDS}


def write_crds(directory: Path) -> list[Path]:
    """Write the files of `crds/` and give their paths. Files of a kind that is gone are left for people to delete."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / name for name in crd_files()]
    for path, text in zip(paths, crd_files().values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths
