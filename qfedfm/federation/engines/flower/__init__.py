"""Clients on other machines: the same round, its messages delivered by Flower.

``wire`` is what travels, ``transport`` who delivers it, ``engine`` the server's side, ``node`` a client's
side (a function from message bytes to reply bytes with its state on disk), ``sealing`` and ``summing`` the
channel and the sum protocols between them. Nothing here imports flwr but ``grid``: the rest runs and is
tested in one process, with :class:`qfedfm.federation.engines.flower.transport.Loopback`.
"""
