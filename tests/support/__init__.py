"""What the tests share: helpers, programs that they start, other people's readers."""
