"""The contract that `convert`, `edge_agent` and `fleet` share: bundle, messages, trust. It imports none of them."""

__version__ = "0.1.0"
