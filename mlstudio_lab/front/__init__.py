"""Faces that translate and never decide: magics, cards, widgets, the command line, the Jupyter server extension."""
