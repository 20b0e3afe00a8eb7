"""What each framework's API is on the other side: tables by hand, and data that are generated from the rules."""
