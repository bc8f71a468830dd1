"""Pictures for people: predictions over photos, and sheets of them."""
