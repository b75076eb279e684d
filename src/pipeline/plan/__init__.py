"""Which files a study consists of: what the rules ask, in one typed place.

Paths are written out in full, as the rules write them; a wildcard is a whole folder level.
"""

from pipeline.plan.diffusion import Diffusion


class Plan(Diffusion):
    """The files of one study."""
