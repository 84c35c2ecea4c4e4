"""What a trained model can draw: walks, mixes, edits, and the sheets and animations that show them."""
