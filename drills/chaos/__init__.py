"""`make chaos`: writers, functions and operators under every fault there is, in an order that a seed brings again."""
