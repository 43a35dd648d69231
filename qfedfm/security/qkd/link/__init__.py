"""A link pulse by pulse, from a laser to a typed outcome: a key, or no key and the reason.

Kernels are compiled by numba and cached on disk. Everything that is random on the link is drawn from named
streams, so that a session is reproducible; a session that is to give keys to anyone seeds them from
``secrets``.
"""
