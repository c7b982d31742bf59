"""Programs beside the relay: players and checkers. The relay process never imports them."""
