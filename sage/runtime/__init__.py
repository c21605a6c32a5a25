"""The loop: trust, fusion, scheduling, metabolism, reasoner, practice (L), sleep (H), coherence.

It decides; it knows no concrete sensor, effector or plug-in. Importing the package imports no torch.
"""
