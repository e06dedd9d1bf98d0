"""The static rules of JoinKey as CEL. The API server applies them to every client and verb.

No rule compares the targets with each other, which would exceed the cost budget: two equal targets are one copy.
"""

from tallystick.clusterkeys.api.fields import KEY_RULES
from tallystick.schema.cel import NAME_FITS, SERIAL_REACHED, duration_between, rises_only
from tallystick.schema.meta import Rule

MOST_TARGETS = 16  # the admission policy `targets` has one expression for each

SPEC_RULES = (
    *KEY_RULES,
    Rule(
        "!has(self.secretRef) || self.serial == oldSelf.serial",
        "serial requests a new generated key; with secretRef, put the new key into its Secret",
    ),
    Rule(
        f"!has(self.targets) || self.targets.size() <= {MOST_TARGETS}",
        f"targets must have at most {MOST_TARGETS} items",
        field_path=".targets",
    ),
    Rule(duration_between("overlap", "0s", "720h"), "overlap must be between 0s and 720h", field_path=".overlap"),
)

ROOT_RULES = (NAME_FITS, SERIAL_REACHED, rises_only("status.keyVersion", "status.keyVersion cannot be lowered"))
