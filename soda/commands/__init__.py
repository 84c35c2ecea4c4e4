"""`soda reconstruct|interpolate|mix|edit|attributes`: a trained model on files."""
