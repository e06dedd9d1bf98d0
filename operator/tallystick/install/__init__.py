"""The resources that a cluster needs before the operator runs: CRDs, admission policies, RBAC."""
