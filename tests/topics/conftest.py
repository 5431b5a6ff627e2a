"""Fixtures that tests of topics share with those of the data."""

from tests.data.conftest import real_recipes  # noqa: F401 - used by its name
