"""The built-in kinds of noise, one file a family: of tokens, of words, of facts, of code, of steps."""
