"""From needs to a recommendation: facts, libraries, stacks, the cost of a switch."""
