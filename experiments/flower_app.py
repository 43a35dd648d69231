"""This project as a Flower app: ``flwr run .`` ships these lines, and machines run their installed qfedfm."""

from pathlib import Path

from qfedfm.experiment.machines import app

client = app.client
server = app.server_app(Path(__file__).parents[1])
