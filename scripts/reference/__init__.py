"""Writes docs/reference from the code, so that neither can say something else: `python -m scripts.reference`."""
