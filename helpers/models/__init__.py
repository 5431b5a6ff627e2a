"""Encoders, adapters, and where they go."""

import logging

# peft loads bitsandbytes, which then reports a fast kernel that no released package brings.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
