"""Floor 0: what every room shares.

Errors written for people, the base of every configuration, named random streams, named tensors on
one contiguous vector, updates with a typed header, metrics that add up, and atomic files.
"""
