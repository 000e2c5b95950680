"""How far an unlearned model is from its oracle, a small file for each way of saying so."""
