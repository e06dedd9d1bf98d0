"""What a cluster needs before the operator can run: CRDs, admission policies, RBAC."""
