"""The exchange process: listener, limits, TLS, forms, responses, OpenAPI."""
