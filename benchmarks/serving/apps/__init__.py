"""The servers that the agent is measured beside, as their users would write them, and small programs of ours.

They read `MODEL` (a file) and `FEATURES` (names with commas between) from the environment.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class _NotInstalled(MetaPathFinder):
    """A device's server has no pandas; scikit-learn imports it where it finds it: 60 MB and half a second more."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Nothing: others may look."""
        if fullname in ("pandas", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, _NotInstalled())
