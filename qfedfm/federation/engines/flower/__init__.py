"""Clients on other machines: the same round, its messages delivered by Flower.

``wire`` is what travels, ``transport`` who delivers it. The server's side is ``engine``, with ``attendance``
(who is there), ``asking`` (requests, and which reply is refused) and ``training`` (a round's requests to
train). A client's side is ``node``, a function from message bytes to reply bytes with its state on disk.
``server_end`` and ``client_end`` are the channel's two ends, ``summing`` a sum protocol between them. Nothing
here imports flwr but ``grid``: the rest runs and is tested in one process, with
:class:`qfedfm.federation.engines.flower.transport.Loopback`.
"""
