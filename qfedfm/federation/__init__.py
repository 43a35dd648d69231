"""Floor 5: one round of federated training, and what a client does in it."""
