import Crypto

/// Makes the ids of queued requests: `req_` and 32 hexadecimal digits.
enum RequestIdentity {
    private static let prefix = "req_"
    private static let bytes = 16
    /// Longest idempotency key, in bytes.
    static let keyLimitBytes = 255

    /// An id that nobody can guess.
    static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return text((0..<bytes).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// The id that belongs to a tenant's idempotency key: the same one each time, and another tenant's is another.
    static func derived(tenant: String, key: String) -> String {
        var hash = SHA256()
        hash.update(data: Array("weir idempotency key\n\(tenant.utf8.count)\n\(tenant)\n\(key)".utf8))
        return text(hash.finalize().prefix(bytes))
    }

    private static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        let hexadecimal = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 0xF)]] }
        return prefix + String(decoding: hexadecimal, as: UTF8.self)
    }
}
