"""What lies where in the store's directory; the relay and the command line both go there."""

KEYS = "keys"
REVOCATIONS = "revocations.jsonl"
DATABASE = "camrelay.db"
STORE_KEY = "store.key"
