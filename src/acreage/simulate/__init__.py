"""A simulated archive over a simulated landscape with known truth."""
