"""The store on a Redis (7.0 or newer) or Valkey server.

docs/commit-protocol.md says what is stored, what each script does, and why commits are atomic and reads of one version.
"""

from rome.store.redis.store import RedisStore

__all__ = ["RedisStore"]
