"""Long tests: each module has a main() that gives rows of (name, tried, passed, seconds)."""
