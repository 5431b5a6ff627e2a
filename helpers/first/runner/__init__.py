"""The runner: it executes lessons with parameters and keeps their reports."""
