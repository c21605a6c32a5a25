"""Tests for sensor plug-ins: the conformance kit and the package template."""
