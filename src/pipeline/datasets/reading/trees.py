"""Finding the files that tables name: by their path, or by their name alone, wherever below the root they lie."""

import re
from collections.abc import Iterable
from functools import cached_property

from pipeline.datasets import READABLE, UNREADABLE, is_image_name
from pipeline.errors import StudyError

ENDING = re.compile(f"{READABLE}|{UNREADABLE}", re.IGNORECASE)
LONGEST = len(".nii.gz")


def stem(path: str) -> str:
    """Return a file's name without its folders and without one image ending; `.nii.gz` counts as one."""
    name = path.rsplit("/", 1)[-1]
    # Endings are short, and searching only there is what makes large trees quick.
    found = ENDING.search(name, max(0, len(name) - LONGEST))
    return name if found is None else name[: found.start()]


def has_image_ending(path: str) -> bool:
    """Tell whether a file's ending is that of an image; unlike `is_image_name`, none at all does not count."""
    return ENDING.search(path) is not None


class Tree:
    """The image files below a root."""

    def __init__(self, root: str, files: Iterable[str]) -> None:
        self.root, self.files = root, set(files)

    @cached_property
    def stems(self) -> dict[str, list[str]]:
        """Return the paths of each name."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.files):
            if is_image_name(path):
                found.setdefault(stem(path), []).append(path)
        return found

    def named(self, name: str) -> str | None:
        """Return the one image with this name, whatever its folder and ending, or None.

        Raises:
            StudyError: there are several, and any choice between them would be a guess.
        """
        paths = self.stems.get(name, ())
        if len(paths) > 1:
            raise StudyError(
                f"{self.root} holds several images of one name, and the table cannot tell which is meant; let 'root' "
                "be the folder that holds only one of them",
                "\n".join(paths),
            )
        return paths[0] if paths else None
