"""Recordings of sessions as MCAP files: written, rebuilt, exported, replayed, and shown live in viewers."""
