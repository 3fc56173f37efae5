"""What a call costs: dated prices that ship with the product, stated prices, and the pure function over both."""
