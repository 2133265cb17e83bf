"""Cloze: document with blanks → words → probabilities over candidates → answers."""
