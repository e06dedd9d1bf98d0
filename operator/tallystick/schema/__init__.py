"""The models of Kubernetes resources and the generator of CRDs: fields, CEL helpers, times, durations."""
