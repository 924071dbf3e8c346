"""The fleet server: devices, signed releases, rollouts judged by health. Runs on SQLite (one replica) or PostgreSQL."""
