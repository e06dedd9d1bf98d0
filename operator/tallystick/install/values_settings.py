"""The value of the chart that sets each setting of controller and exchange, or why none does."""

VALUE_OF = {
    "public_urls": "publicURLs",
    "issuer": "issuer",
    "watch_namespaces": "watchNamespaces",
    "requester": "requester",
    "use_cases_file": "useCases",
    "log_level": "logLevel",
    "signing_algorithm": "signingKeys.algorithm",
    "key_max_age": "signingKeys.maxAge",
    "bootstrap_generation": "bootstrap.generation",
    "bootstrap_token_delete_in_minutes": "bootstrap.tokenDeleteInMinutes",
    "bootstrap_keys": "keys.bootstrap",
    "bootstrap_master_key_secret": "keys.masterKeySecret",
    "bootstrap_join_key_secret": "keys.joinKeySecret",
    "ca_file": "tls.mode",
    "tls_service": "tls.mode",
    "connections_per_source": "exchange.connectionsPerSource",
    "failures_per_source": "exchange.failuresPerSource",
    "max_staleness": "exchange.maxStaleness",
}
"""The value that sets a setting, by the name of the setting."""

NO_VALUE = {
    "namespace": "The kubelet writes the namespace of the pod into its ServiceAccount volume.",
    "kubeconfig": "The pod uses its ServiceAccount.",
    "context": "The pod uses its ServiceAccount.",
    "audit_log": "A pod writes audit lines to its standard output, which the cluster collects.",
    "health_listen": "Probes, Services and NetworkPolicies name the port, so it is always 8081.",
    "listen": "Probes, Services and NetworkPolicies name the port, so it is always 8443.",
    "tls_cert": "The chart mounts the certificate that tls.mode selects.",
    "tls_key": "The chart mounts the key that tls.mode selects.",
    "plain_http": "Without TLS, tokens would cross the network of the cluster in plain text.",
    "replica_name": "The name of a pod is the name of its replica.",
}
"""Why a setting has no value, by the name of the setting."""
