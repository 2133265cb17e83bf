"""The blank filler: its task, its networks, its data and how it is measured."""
