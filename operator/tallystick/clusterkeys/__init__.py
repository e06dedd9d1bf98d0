"""Join keys and master keys: the keys that the services of a cluster share, and the keys that seal them."""
