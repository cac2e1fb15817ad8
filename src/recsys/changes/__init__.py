"""Changes between nights: the spool that holds them, and the inbox for other systems.

Needs neither pandas nor the data store, so that the serving process reads it.
"""

from recsys.changes.inbox import Inbox
from recsys.changes.spool import Draft, Spool

__all__ = ["Draft", "Inbox", "Spool"]
