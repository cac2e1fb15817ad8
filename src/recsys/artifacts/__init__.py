"""The nouns that rooms hand one another. Everything here is light and frozen."""
