"""Adapting vision-language models to a domain: the thin package under the course's notebooks."""

import logging

__version__ = "0.1.0"

# peft loads bitsandbytes, which then reports a fast kernel that no released package brings.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
