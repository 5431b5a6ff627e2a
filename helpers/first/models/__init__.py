"""What the runner needs of the models."""
