"""Recipes: how an original is made, in settings only, and profiles: settings that go together."""
