"""Trust in torch, on one device from reading to trust: no value is read by the host."""
