"""What the provider asks of a running bridge: read, judged by signature, time and nonce, carried out, answered."""
