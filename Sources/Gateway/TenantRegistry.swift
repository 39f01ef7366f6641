import Crypto
import InferenceAPI

/// Finds out whose request it is.
struct TenantRegistry: Sendable {
    /// A tenant's name as a header may give it, in bytes.
    private static let nameLimitBytes = 128

    /// Who makes a request.
    enum Caller: Hashable {
        /// This tenant; empty where nobody is told apart. `usesKey`: it showed a key, which is for nobody else to see.
        case tenant(String, usesKey: Bool)
        /// Nobody whose request may be carried.
        case refused(APIError)
    }

    /// A key as it is kept: its SHA-256 as four words, so that all keys are equally long and nobody reads them here.
    private struct Digest: Sendable {
        let words: (UInt64, UInt64, UInt64, UInt64)

        init(_ key: some Sequence<UInt8>) {
            words = SHA256.hash(data: Array(key)).withUnsafeBytes { bytes in
                func word(_ index: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
                return (word(0), word(1), word(2), word(3))
            }
        }

        /// Zero if the two are equal; takes the same time if they are not.
        func difference(from other: Digest) -> UInt64 {
            (words.0 ^ other.words.0) | (words.1 ^ other.words.1) | (words.2 ^ other.words.2)
                | (words.3 ^ other.words.3)
        }
    }

    private let keys: [(digest: Digest, tenant: Int)]
    private let names: [String]
    private let acceptsNames: Bool

    init(_ tenants: [Tenant], acceptsNames: Bool = false) {
        self.acceptsNames = acceptsNames
        names = tenants.map(\.name)
        keys = tenants.enumerated().flatMap { index, tenant in
            tenant.keys.map { (Digest($0.utf8), index) }
        }
    }

    /// Says who makes a request with these values of `Authorization` and `X-Weir-Tenant`.
    ///
    /// Without tenants everybody is the same one unless a caller that is trusted names another, and `Authorization` is the
    /// model server's business. With tenants a request needs a key; only if names are accepted may a caller that is trusted
    /// name one of them instead. A trusted address alone is not enough: a reverse proxy has one, and passes the header on.
    func caller(authorization: String?, namedTenant: String?, isTrusted: Bool) -> Caller {
        guard names.isEmpty else {
            if let authorization {
                return tenant(authorization: authorization).map { .tenant(names[$0], usesKey: true) }
                    ?? .refused(.unauthorized)
            }
            guard acceptsNames, isTrusted, let namedTenant, names.contains(namedTenant) else {
                return .refused(.unauthorized)
            }
            return .tenant(namedTenant, usesKey: false)
        }
        guard isTrusted, let namedTenant else { return .tenant("", usesKey: false) }
        guard (1...Self.nameLimitBytes).contains(namedTenant.utf8.count),
            namedTenant.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            return .refused(
                .invalidValue(
                    of: HeaderName.tenant, expected: "1 to \(Self.nameLimitBytes) printable characters without spaces"))
        }
        return .tenant(namedTenant, usesKey: false)
    }

    /// The tenant whose key this is. Looks at all keys always, so that time tells nothing of them.
    private func tenant(authorization: String) -> Int? {
        let scheme = "bearer "
        let text = authorization.utf8
        guard text.count > scheme.utf8.count, HeaderName.has(authorization, prefix: scheme) else { return nil }
        let shown = Digest(text.dropFirst(scheme.utf8.count).drop { $0 == 0x20 })
        var found: Int?
        for (digest, tenant) in keys where digest.difference(from: shown) == 0 { found = tenant }
        return found
    }
}
