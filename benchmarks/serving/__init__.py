"""The parts of the agent's benchmark: samples, servers, load, and what is measured on them."""
