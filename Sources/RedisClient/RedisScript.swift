import Crypto

/// A Lua script that the server runs as one atomic step and knows by its digest.
public struct RedisScript: Hashable, Sendable {
    /// The script's text.
    public let source: String
    /// The SHA-1 of the text in lower-case hexadecimal, by which the server knows it once it has seen it.
    public let digest: String

    /// Creates a script.
    public init(_ source: String) {
        self.source = source
        let digits = Array("0123456789abcdef".utf8)
        let hexadecimal = Insecure.SHA1.hash(data: Array(source.utf8)).flatMap { byte in
            [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        digest = String(decoding: hexadecimal, as: UTF8.self)
    }

    /// The command that runs the script by its digest; the server answers `NOSCRIPT` if it does not know it.
    public func runByDigest(keys: [RedisArgument], arguments: [RedisArgument]) -> RedisCommand {
        RedisCommand("EVALSHA", [.text(digest), .integer(Int64(keys.count))] + keys + arguments)
    }

    /// The command that runs the script by its text; the server knows its digest from then on.
    public func runBySource(keys: [RedisArgument], arguments: [RedisArgument]) -> RedisCommand {
        RedisCommand("EVAL", [.text(source), .integer(Int64(keys.count))] + keys + arguments)
    }
}

/// One run of a script: what `RedisClient.run(_:)` sends many of at once.
public struct RedisScriptCall: Hashable, Sendable {
    /// The script.
    public let script: RedisScript
    /// The keys it touches (`KEYS` in the script).
    public let keys: [RedisArgument]
    /// Its arguments (`ARGV` in the script).
    public let arguments: [RedisArgument]

    /// Creates a call.
    public init(_ script: RedisScript, keys: [RedisArgument], arguments: [RedisArgument]) {
        self.script = script
        self.keys = keys
        self.arguments = arguments
    }
}
