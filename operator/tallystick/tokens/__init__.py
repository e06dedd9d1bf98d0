"""Sign, introspect and revoke tokens by their type; the keyring Secret; delegated authentication."""
