"""The peers, written as their users would write them; each runs in a process of its own."""
