"""What the model stands beside: networks trained otherwise or not at all, answers without drawing, and the reader of factors."""
