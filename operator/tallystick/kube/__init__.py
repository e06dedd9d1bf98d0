"""The only code that calls the API server."""
