"""What is done with a trained model: its description, and its export."""
