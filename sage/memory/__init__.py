"""What outlives a tick: salience, transitions, replay, recall and their snapshots.

Invariant: every store has a size fixed when it is made, and two runs with one seed keep the same things.
"""
