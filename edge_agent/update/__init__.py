"""Updates: decide (`table`), trust, download, test in a child, activate, soak, and go back when a model is bad."""
