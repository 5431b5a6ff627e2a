"""From pairs to training pairs: images and captions changed by rule, and wrong captions."""
