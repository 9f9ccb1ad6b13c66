"""Environment → a room's settings class. Nothing else in the product reads the environment."""
