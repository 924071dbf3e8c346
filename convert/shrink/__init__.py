"""Smaller forms of an exported model, weighed against a budget of changed answers."""
