"""An HLS load client: viewers that follow playlists, blocked reloads included, by the hundred on one core."""
