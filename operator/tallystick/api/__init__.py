"""The kinds as pydantic models: the one source of the CRDs, and what is read from the API server."""
