#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// An answer to `GET /v1/models`, as endpoints give it to the control plane.
struct ModelList: Decodable {
    /// More models than this on one endpoint are ignored: a bound on what a confused server can make us hold.
    private static let limit = 1024

    private struct Model: Decodable { let id: String }

    private let data: [Model]

    /// The names on the page, in its order; nil if the page is not such a list.
    static func names(in page: [UInt8]) -> [String]? {
        guard let list = try? JSONDecoder().decode(ModelList.self, from: Data(page)) else { return nil }
        return list.data.prefix(limit).map(\.id).filter { !$0.isEmpty }
    }
}
