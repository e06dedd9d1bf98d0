"""A local control plane without Docker: etcd, kube-apiserver and kube-controller-manager."""
