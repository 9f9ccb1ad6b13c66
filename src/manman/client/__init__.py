"""Public: the typed API client (REST). One class, a method for each method of the proto definition."""
