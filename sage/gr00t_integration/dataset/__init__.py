"""Robot data sets in LeRobot's layouts v2.1 (with GR00T's modality file) and v3.0: written, read, checked."""
