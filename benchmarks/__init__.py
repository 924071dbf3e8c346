"""Measurements with peers side by side in one run. Run them with `scripts/bench NAME`."""
