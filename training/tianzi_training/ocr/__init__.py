"""The recogniser: its task, its networks, its data and how it is measured."""
