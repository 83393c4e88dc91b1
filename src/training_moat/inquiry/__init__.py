"""What each chapter asks of the tables and the model, under uncertainty."""
