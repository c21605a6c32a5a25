"""Dreams of a body: practice in perturbed copies of a run's environments, at the start of a night."""
