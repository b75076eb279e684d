"""Which files a study consists of: what the rules ask, in one typed place.

Paths are written out in full, as the rules write them; a wildcard is a whole folder level.
"""

from pipeline.plan.requests import Requests


class Plan(Requests):
    """The files of one study."""
