"""Who watched: records, durability, proof, erasure."""
