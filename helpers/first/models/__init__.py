"""Models: encoders, adapters, where they go, and how they are measured."""

import logging

# peft loads bitsandbytes, which then reports a fast kernel that no released package brings.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
