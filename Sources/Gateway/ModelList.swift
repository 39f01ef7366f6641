#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// An answer to `GET /v1/models`, as endpoints give it to the control plane.
struct ModelList: Decodable {
    /// More models than this on one endpoint are ignored: a bound on what a confused server can make us hold.
    private static let limit = 1024

    private struct Model: Decodable {
        let id: String
        /// The base model, where this is a LoRA adapter (vLLM).
        let parent: String?
    }

    /// A model that an endpoint serves.
    struct Entry: Hashable {
        let name: String
        /// Whether it is a LoRA adapter of another.
        let isAdapter: Bool
    }

    private let data: [Model]

    /// The models on the page, in its order; nil if the page is not such a list.
    static func entries(in page: [UInt8]) -> [Entry]? {
        guard let list = try? JSONDecoder().decode(ModelList.self, from: Data(page)) else { return nil }
        return list.data.prefix(limit).filter { !$0.id.isEmpty }.map { Entry(name: $0.id, isAdapter: $0.parent != nil) }
    }
}
