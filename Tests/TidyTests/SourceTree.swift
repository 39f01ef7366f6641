import Foundation

/// The package's own sources, as text.
struct SourceTree {
    struct File {
        /// The path below the package's root.
        let path: String
        /// The target, by folder.
        let target: String
        let lines: [String]
    }

    let files: [File]

    init(folder: String) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let top = root.appendingPathComponent(folder)
        let enumerator = FileManager.default.enumerator(atPath: top.path)
        var files: [File] = []
        while let name = enumerator?.nextObject() as? String {
            guard name.hasSuffix(".swift"), let target = name.split(separator: "/").first else { continue }
            let text = try String(contentsOf: top.appendingPathComponent(name), encoding: .utf8)
            files.append(
                File(
                    path: "\(folder)/\(name)", target: String(target),
                    lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)))
        }
        self.files = files.sorted { $0.path < $1.path }
    }
}
