"""The connection, the mailbox, and what an operator needs to reach the world outside."""
