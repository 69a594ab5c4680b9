"""transport/http."""
