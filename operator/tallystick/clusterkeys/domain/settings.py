"""The settings of the feature clusterkeys."""

from pydantic import BaseModel, ConfigDict

from tallystick.clusterkeys.api.fields import SecretName


class ClusterKeySettings(BaseModel):
    """The settings of the feature clusterkeys.

    Attributes:
        bootstrap_keys: Whether the leader creates MasterKey and JoinKey `default` at the first start.
        bootstrap_master_key_secret: The Secret with the key of that MasterKey. Default: it is generated.
        bootstrap_join_key_secret: The Secret with the key of that JoinKey. Default: it is generated.
    """

    model_config = ConfigDict(frozen=True)

    bootstrap_keys: bool = True
    bootstrap_master_key_secret: SecretName | None = None
    bootstrap_join_key_secret: SecretName | None = None
