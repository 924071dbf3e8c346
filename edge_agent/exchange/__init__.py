"""Predictions asked for over MQTT: what an inbox holds, what a message means, and the loop that answers."""
