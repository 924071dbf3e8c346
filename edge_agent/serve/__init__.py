"""Local prediction: a verified model answers over HTTP, and needs nobody to do so."""
