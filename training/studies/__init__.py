"""Studies: claims that can be run, each with a figure and a table: `python -m studies NAME`."""
