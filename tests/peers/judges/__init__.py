"""Third-party tools as judges of a personalised card.

Every judge takes the card as a `Subject`: how tools reach it and what they may know of it. It says nothing
when all is well and fails with the tool's own words when it is not.
"""
