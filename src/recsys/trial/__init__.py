"""A release on trial: asked beside the live one before shoppers see it, watched once they do."""
