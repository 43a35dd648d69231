"""Optimizers of a circuit's weights, one file each; an ordinary optimizer trains the rest of the head.

Each is a ``torch.optim.Optimizer`` with one more method: ``observe(landscape)`` is called between the
backward pass and ``step()``, and is where an optimizer evaluates what it needs besides the gradient: a metric
tensor, losses at other weights, shifted circuits. Tensors carry a leading client axis (K, w), so all
clients that train together take their steps in one call; what is random is drawn from each client's own
generator, so that nobody's trajectory depends on who else is in the call.
"""
