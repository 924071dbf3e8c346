"""The servers that the agent is measured beside, as their users would write them, and small programs of ours.

They read `MODEL` (a file) and `FEATURES` (names with commas between) from the environment.
"""
