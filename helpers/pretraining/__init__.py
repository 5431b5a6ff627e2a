"""Back room: what makes the tiny checkpoints, from seeds alone."""

import logging

# peft loads bitsandbytes, which then reports a fast kernel that no released package brings.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
