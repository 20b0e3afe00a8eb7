"""From needs and evidence to a recommendation: facts with their sources, and what builds on them."""
