"""Who may watch: tokens, policy, leases, the gate."""
