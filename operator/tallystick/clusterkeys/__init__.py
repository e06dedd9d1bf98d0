"""Cluster keys: the kinds JoinKey and MasterKey."""
