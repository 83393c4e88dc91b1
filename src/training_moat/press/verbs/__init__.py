"""What longer verbs of the command `moat` do (`press.commands` has them all)."""
