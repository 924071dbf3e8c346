"""MLflow's scoring protocol: the forms of its bodies, its endpoints, and how they are described."""
