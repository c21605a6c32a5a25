"""Trust in sources that answer the same question: in classes, or in the space of an embedding."""
