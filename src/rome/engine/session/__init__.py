"""What the application asks of a connection: the session, who runs which statement, replay after a conflict."""
