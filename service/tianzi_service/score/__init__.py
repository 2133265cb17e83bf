"""Answering whole files of images or questions: what they hold, and the lines that are written."""
