"""Features of frozen backbones: computed once, stored, and shared by the trainings of a node."""
