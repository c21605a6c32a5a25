"""Training and evaluation as people ask for them: recipes, runs in folders, figures on the screen."""
