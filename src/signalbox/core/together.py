"""How records, requests and answers of one turn of the event loop are collected, so that they are written together."""

from __future__ import annotations

# So many wait for one another at most: a busy turn may be long, and the first has been ready all along.
MOST = 16
# With fewer calls under way than this nothing is collected: the end of the turn would be waited for in vain.
FEW = 4
