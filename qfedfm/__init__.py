"""Quantum-enhanced federated foundation models."""
