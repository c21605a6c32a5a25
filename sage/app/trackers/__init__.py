"""Other places for the figures of sessions and training: W&B, trackio, TensorBoard, Prometheus, OTLP."""
