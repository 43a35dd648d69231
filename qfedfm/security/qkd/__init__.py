"""Quantum key distribution: rates by formula, a link pulse by pulse, a key store and its REST interface.

Conventions: the X basis carries the key and the Z basis the parameter estimation (Lim et al., 2014); bits are
``uint8`` arrays of 0 and 1; distances are kilometres, losses decibels, probabilities per pulse.
"""
