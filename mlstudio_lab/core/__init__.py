"""What things are: nouns and rules, on the standard library and blake3 alone; no clock, disk, network, randomness."""
