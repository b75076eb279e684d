"""Which jobs a scheduler is given together, so that a study is hundreds of batch jobs and not thousands.

A bundle is a group of Snakemake: one submission, in which the jobs run one after the other or side by side as far as
its resources go. The jobs themselves stay as small as they are, so what is edited still reruns alone. Bundles matter
to a batch system only; where jobs run on this machine Snakemake knows none.

No bundle can wait for itself. Files lead from images to codes, from codes to heads, and among heads only from those on
the pixels to others, and from a teacher, which is never taught itself, to its student.
"""

from pipeline.plan.tables import Tables

IMAGES, CODES, HEADS = "images", "codes", "heads"
"""The kinds of bundles: those of the profile's `group-components`, which joins what no file connects."""


class Submissions(Tables):
    """The name of the bundle that a job belongs to."""

    def with_images(self, stored: str, shard: str) -> str:
        """Return the bundle of one shard of a data set's images and of all its views."""
        return f"{IMAGES}.{self.plain(stored)}.{shard}"

    def with_codes(self, stored: str, autoencoder: str, shard: str) -> str:
        """Return the bundle of what one autoencoder makes of one shard, of its views, and in all its members."""
        dataset = self.plain(stored)
        return f"{CODES}.{dataset}.{self.entry_of(dataset, autoencoder)}.{shard}"

    def with_head(self, dataset: str, autoencoder: str, head: str) -> str:
        """Return the bundle of a head in all spaces of an entry: by itself, or with the entry's other small heads."""
        if self.study.heads[head].small:
            return self.with_small_heads(dataset, autoencoder)
        return f"{HEADS}.{dataset}.{self.entry_of(dataset, autoencoder)}.{head}"

    def with_small_heads(self, dataset: str, autoencoder: str) -> str:
        """Return the bundle of the small heads of an entry, and of what else is small."""
        return f"{HEADS}.{dataset}.{self.entry_of(dataset, autoencoder)}"
