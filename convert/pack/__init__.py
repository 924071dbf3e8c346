"""What goes into the bundle, and what people read beside it."""
