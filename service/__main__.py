"""python -m service: the command `tianzi`."""

from service.cli import app

app(prog_name="tianzi")
