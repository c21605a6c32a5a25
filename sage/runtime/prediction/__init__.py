"""Linear and learned predictors of the next readings, and the gate that mixes them."""
