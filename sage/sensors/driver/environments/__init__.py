"""One environment behind the drivers of its sensors and effectors: in this process, or in one of its own."""
