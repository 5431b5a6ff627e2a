"""Adapting vision-language models to a domain: the thin package under the course's notebooks."""

__version__ = "0.1.0"
