"""A WHEP load client: real ICE, DTLS and SRTP for thousands of viewers on one core."""
