"""The entry point of the command line: it may call both editions of the package."""
