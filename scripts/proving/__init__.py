"""What is promised is tried: a replica set whose members can be killed, frozen, cut off and made to lose replies.

`cluster` runs it, `network` is the handle on what lies between its members, `proxy` is that network itself: a
process of user-space TCP proxies, so that no root is needed.
"""
