"""The first edition of the package: it waits here until every lesson is ported."""
