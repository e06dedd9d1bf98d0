"""A control plane of our own: etcd, kube-apiserver and kube-controller-manager, without Docker."""
