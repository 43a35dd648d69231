"""Floor 3: optimizers of clients and of the server."""
