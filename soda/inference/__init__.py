"""A trained model to work with: encode, draw, interpolate, mix, edit, and find directions."""
