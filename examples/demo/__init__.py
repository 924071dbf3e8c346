"""The main job end to end, through the command line only: what an engineer and an operator would type."""
