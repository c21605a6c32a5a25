"""Recordings of runs and of other programs: MCAP files and ROS bags, written and replayed."""
