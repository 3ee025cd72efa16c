"""The contracts of the areas as public test classes, for our methods and for outsiders'."""
