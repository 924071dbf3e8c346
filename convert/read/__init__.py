"""The way in: the fitted model, its rows, and what a feature looks like."""
