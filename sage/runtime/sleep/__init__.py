"""Practice between ticks, consolidation (sleep), and the metabolic states that start them."""
