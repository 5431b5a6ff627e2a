"""The course as its users meet it: commands, notebooks, files; nothing of helpers is imported."""
