"""HLS and LL-HLS output (draft-pantos-hls-rfc8216bis)."""
