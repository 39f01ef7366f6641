import Testing

/// The house rules that a machine can check: who may import whom, what is never called, how long a file may be.
@Suite struct TidyTests {
    /// The import table of docs/architecture.md. Targets that are not named may import anything.
    private static let allowedImports: [String: Set<String>] = [
        "Basics": ["Glibc", "Darwin", "Musl"],
        "InferenceAPI": ["Basics", "DequeModule", "HeapModule"],
        "Pool": ["Basics", "InferenceAPI"],
        "Routing": ["Basics", "InferenceAPI", "Pool"],
        "Admission": ["Basics", "InferenceAPI", "HeapModule", "DequeModule"],
        "PrefixIndex": ["Basics"],
        "Prediction": ["Basics", "InferenceAPI", "Pool"],
        "Harvest": ["Basics", "InferenceAPI", "Pool", "Prediction"],
        "PoolScheduler": [
            "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest",
            "DequeModule", "HeapModule",
        ],
        "EndpointPickerConfiguration": ["Basics", "Pool", "Routing", "Yams"],
        "Delivery": ["Basics", "InferenceAPI", "DequeModule", "HeapModule"],
        "EngineModel": ["Basics", "InferenceAPI", "DequeModule", "HeapModule"],
        "DispatchGates": ["Basics"],
        "WorkerPools": ["Basics", "DispatchGates", "DequeModule"],
        "Lab": [
            "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest",
            "PoolScheduler", "EngineModel", "DispatchGates", "ReportPage", "DequeModule",
        ],
        "ReportPage": ["Basics"],
    ]

    private static let banned: [(text: String, reason: String)] = [
        ("try!", "handle the error or let it travel"),
        ("fatalError(", "a server answers errors, it does not stop"),
        ("DispatchQueue", "use structured concurrency or an event loop"),
        ("Thread.sleep", "wait for the event"),
        ("usleep(", "wait for the event"),
        ("TO" + "DO", "finish it, or file it"),
        ("FIX" + "ME", "fix it, or file it"),
        ("import XCTest", "tests use Swift Testing"),
    ]

    private static let maximumLines = 500

    private let sources: SourceTree
    private let tests: SourceTree

    init() throws {
        sources = try SourceTree(folder: "Sources")
        tests = try SourceTree(folder: "Tests")
    }

    @Test func theTreeIsFound() {
        #expect(sources.files.count > 50)
        #expect(Set(sources.files.map(\.target)).isSuperset(of: Self.allowedImports.keys))
    }

    @Test func everyTargetImportsOnlyWhatItsRowAllows() {
        for file in sources.files {
            guard let allowed = Self.allowedImports[file.target] else { continue }
            for (number, line) in file.lines.enumerated() {
                let words = line.split(separator: " ")
                guard let position = words.firstIndex(of: "import"), position <= 1, position + 1 < words.count else {
                    continue
                }
                let module = String(words[position + 1])
                #expect(allowed.contains(module), "\(file.path):\(number + 1): \(file.target) may not import \(module)")
            }
        }
    }

    @Test func nothingBannedIsCalled() {
        for file in sources.files + tests.files where !file.path.hasSuffix("TidyTests.swift") {
            for (number, line) in file.lines.enumerated() {
                for rule in Self.banned where line.contains(rule.text) {
                    Issue.record("\(file.path):\(number + 1): \(rule.text): \(rule.reason)")
                }
            }
        }
    }

    @Test func onlyTheCommandLinePrints() {
        for file in sources.files where !["weir", "micro-benchmarks"].contains(file.target) {
            for (number, line) in file.lines.enumerated() {
                let code = line.drop { $0 == " " }
                #expect(!code.hasPrefix("print("), "\(file.path):\(number + 1): log it, or return it")
            }
        }
    }

    @Test func everyUncheckedClaimIsArguedBesideIt() {
        for file in sources.files + tests.files
        where !file.path.hasSuffix("TidyTests.swift") && !file.path.contains("/Generated/") {
            for (number, line) in file.lines.enumerated() {
                let claims = line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)")
                guard claims, !line.drop(while: { $0 == " " }).hasPrefix("//") else { continue }
                let before = file.lines[max(0, number - 3)..<number].contains { $0.contains("//") }
                #expect(before || line.contains("//"), "\(file.path):\(number + 1): say why this is safe")
            }
        }
    }

    @Test func noFileIsTooLongForOneSitting() {
        // Generated code is as long as its generator makes it.
        for file in sources.files + tests.files where !file.path.contains("/Generated/") {
            #expect(file.lines.count <= Self.maximumLines, "\(file.path) has \(file.lines.count) lines")
        }
    }
}
