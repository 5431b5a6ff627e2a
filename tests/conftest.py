"""What all tests share: how many examples hypothesis draws."""

import os

from hypothesis import settings

# No deadline: a busy machine is no defect. The same examples everywhere unless one asks for more.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
