"""Networks over log-mels: stem, layers, final map, pooling, head."""
