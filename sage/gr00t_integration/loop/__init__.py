"""A remote policy in the loop: its chunks of actions as a sensor, and the relay that executes them."""
