"""SAT and graph colouring."""
