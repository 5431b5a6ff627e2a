"""The command line ``course``: runs, checks and serves the lessons."""
