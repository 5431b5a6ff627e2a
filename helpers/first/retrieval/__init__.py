"""Retrieval: indexes, and what searches them."""
