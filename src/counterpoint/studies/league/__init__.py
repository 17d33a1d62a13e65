"""League: every method that suits the data, with one encoder and one budget of views, ranked by what it learned."""

from counterpoint.studies.league.make import league

__all__ = ["league"]
