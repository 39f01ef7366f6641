/// Which endpoint has which blocks of which prompts in its prefix cache.
public struct PrefixIndex: Sendable {}
