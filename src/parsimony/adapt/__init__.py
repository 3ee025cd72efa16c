"""Train few parameters: choose a method of adaptation with evidence, within a budget."""
