"""The static rules of MasterKey as CEL. The API server applies them to every client and verb."""

from tallystick.clusterkeys.api.fields import KEY_RULES
from tallystick.schema.cel import NAME_FITS, SERIAL_REACHED, rises_only
from tallystick.schema.meta import Rule

SPEC_RULES = (
    *KEY_RULES,
    Rule(
        "!self.external || has(self.secretRef)",
        "external: true requires secretRef; a key that only memory holds cannot be generated",
    ),
    Rule(
        "has(self.secretRef) == has(oldSelf.secretRef) || self.serial > oldSelf.serial",
        "secretRef can be added only in an edit that raises serial",
    ),
)

# A lower serial would let the controller rotate once more without a request.
ROOT_RULES = (NAME_FITS, SERIAL_REACHED, rises_only("status.serial", "status.serial cannot be lowered"))
