"""One file a step, each from a folder to a folder: scoring, labelling, training, and evolving, which takes turns.

Begin reading in ``scoring``; ``preparing`` is what every step begins with.
"""
