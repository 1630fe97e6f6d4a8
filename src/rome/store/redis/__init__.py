"""The store on a Redis (7.0 or newer) or Valkey server.

What is stored, what each script does and why a commit is atomic and a read of one version: docs/commit-protocol.md.
"""

from rome.store.redis.store import RedisStore

__all__ = ["RedisStore"]
