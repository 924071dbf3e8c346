"""The device: local prediction that needs nobody, and updates that can be cut anywhere."""
