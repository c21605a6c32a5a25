"""Training and evaluation: recipes, runs in folders, figures on the screen."""
