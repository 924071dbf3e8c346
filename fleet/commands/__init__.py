"""The commands of `edgekit fleet`, a file per noun. Heavy imports sit inside them."""
