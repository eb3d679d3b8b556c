"""What a provider runs against its own broker and its own subscriber, to see whether the contract is held.

``listen`` looks at what a bridge sends, ``send`` plays every kind of message to the provider's subscriber and waits for
its receipts. Both know nothing of the bridge but its topics and payloads.
"""
