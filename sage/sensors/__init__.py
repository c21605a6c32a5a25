"""The edge of the world: Sensor and Effector contracts, drivers, the conformance kit, built-in devices.

Importing a sensor imports neither torch nor the package its device needs; that comes when it opens.
"""
