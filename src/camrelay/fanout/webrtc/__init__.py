"""WebRTC output over WHEP (draft-ietf-wish-whep)."""
