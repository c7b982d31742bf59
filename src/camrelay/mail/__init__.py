"""What camrelay writes to people: letters, a queue that outlives a restart, and the way to a mail server."""
