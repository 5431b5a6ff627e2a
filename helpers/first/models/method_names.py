"""The names of an adapter's methods, for whoever checks them before torch is loaded."""

LORA_METHODS = ("lora", "dora", "rslora")  # lessons 04 and 06
METHODS = (*LORA_METHODS, "qlora", "prompt")  # lesson 05
# What other pipelines write in the place of a method, and what is to be done here.
INSTEAD = {
    "baseline": "it trains nothing, and lesson 03 measures the baseline: course run --only 03",
}
