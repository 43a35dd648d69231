"""How what travels is protected: quantum keys, sealed messages, certificates.

``qkd/`` goes from photons to keys, ``channel/`` seals one message, ``certificates`` issues the TLS identities
of clients, servers and key managers. docs/security.md says what is simulated, what is real cryptography, and
against whom each mode protects.
"""
