"""The models of JoinKey and MasterKey, and their CEL rules."""
