"""The classic Flask example in one process: waitress. `PORT` from the environment."""

from __future__ import annotations

import os

import waitress

from benchmarks.serving.apps.flask_sklearn import app

waitress.serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=4)
