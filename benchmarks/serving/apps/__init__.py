"""The servers that the agent is measured beside, as their users would write them, and small programs of ours.

They read `MODEL` (a file) and `FEATURES` (names with commas between) from the environment.
"""

from __future__ import annotations

import sys

# A device's server has no pandas; scikit-learn imports it wherever it finds it: 60 MB, and half a second at start.
sys.modules.update(dict.fromkeys(("pandas", "pyarrow")))  # type: ignore[arg-type]
