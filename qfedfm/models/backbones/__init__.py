"""Frozen backbones: where their files lie, how they run, and what is computed of them only once."""
