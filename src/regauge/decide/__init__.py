"""From needs to a recommendation that can be traced, and what a switch would cost."""
