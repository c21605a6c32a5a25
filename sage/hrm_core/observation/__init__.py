"""The loop's model: observation tokens in; predictions, action and value out."""
