// swift-tools-version: 6.2
import PackageDescription

/// Every target is built with these: language mode 6, all optional checks that the compiler offers, warnings as errors.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
]

/// A library target of the house; `uses` is its row of the import table in docs/architecture.md.
func room(_ name: String, uses: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: uses, swiftSettings: strict)
}

/// The tests of a room, next to it in the tree.
func tests(of name: String, uses: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.init(stringLiteral: name)] + uses, swiftSettings: strict)
}

func product(_ name: String, _ package: String) -> Target.Dependency { .product(name: name, package: package) }

let deque = product("DequeModule", "swift-collections")
let heap = product("HeapModule", "swift-collections")
let log = product("Logging", "swift-log")
let crypto = product("Crypto", "swift-crypto")
let lifecycle = product("ServiceLifecycle", "swift-service-lifecycle")
let grdb = product("GRDB", "GRDB.swift")
let nio: [Target.Dependency] = [
    product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio"), product("NIOHTTP1", "swift-nio"),
]

let package = Package(
    name: "weir",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        // Decisions: pure, no clock, no socket.
        room("Basics"),
        room("InferenceAPI", uses: ["Basics"]),
        room("Pool", uses: ["Basics", "InferenceAPI"]),
        room("Routing", uses: ["Basics", "Pool"]),
        room("Admission", uses: ["Basics", heap]),
        room("Harvest", uses: ["Basics", "Pool"]),
        room("PoolScheduler", uses: ["Basics", "Pool", "Routing", "Admission", "Harvest", deque]),
        room("Delivery", uses: ["Basics", "InferenceAPI", deque, heap]),

        // The lab: the same decisions around a model of an engine, in virtual time.
        room("EngineModel", uses: ["Basics", heap]),
        room("ReportPage", uses: ["Basics"]),
        room("Lab", uses: ["Basics", "Pool", "Harvest", "PoolScheduler", "EngineModel", "ReportPage", deque]),

        // Effects.
        room("MessageQueues", uses: ["Basics", "InferenceAPI", "Delivery"]),
        room("EmbeddedQueue", uses: ["Basics", "Delivery", "MessageQueues", grdb]),
        room("AsyncProcessor", uses: ["Basics", "Delivery", "MessageQueues"]),
        room("WeirConfiguration", uses: ["Basics", product("Yams", "Yams")]),
        room(
            "Telemetry",
            uses: [
                log, lifecycle, product("Hummingbird", "hummingbird"), product("HummingbirdCore", "hummingbird"),
                product("HTTPTypes", "swift-http-types"), product("NIOCore", "swift-nio"),
                product("NIOPosix", "swift-nio"),
            ]),

        room(
            "Gateway",
            uses: nio + ["Basics", "InferenceAPI", "Pool", "Admission", "Harvest", "PoolScheduler", crypto]),
        room(
            "FrontDoor",
            uses: ["Basics", "InferenceAPI", "Delivery", "MessageQueues", "Gateway", crypto]),
        room(
            "Webhooks",
            uses: [
                "Basics", "InferenceAPI", "MessageQueues", crypto, log, product("AsyncHTTPClient", "async-http-client"),
                product("NIOCore", "swift-nio"), product("NIOHTTP1", "swift-nio"),
            ]),
        room("ModelServer", uses: nio + ["Basics", "InferenceAPI", "EngineModel"]),
        room(
            "Composition",
            uses: [
                "Basics", "InferenceAPI", "Pool", "Admission", "Harvest", "EngineModel", "Delivery", "MessageQueues",
                "EmbeddedQueue", "AsyncProcessor", "FrontDoor", "Gateway", "PoolScheduler", "Telemetry", "Webhooks",
                "WeirConfiguration", log, lifecycle, product("NIOCore", "swift-nio"),
            ]),

        room(
            "Demo",
            uses: [
                "Basics", "Composition", "Delivery", "EmbeddedQueue", "EngineModel", "Lab", "MessageQueues",
                "ModelServer", "ReportPage", "WeirConfiguration", log, product("AsyncHTTPClient", "async-http-client"),
            ] + nio),

        // The proof: delivery in virtual time, with a seeded adversary.
        room(
            "DeliveryWorlds",
            uses: [
                "Basics", "InferenceAPI", "Pool", "Admission", "Harvest", "PoolScheduler", "Delivery", "MessageQueues",
                "EmbeddedQueue", heap, grdb,
            ]),
        .executableTarget(
            name: "delivery-worlds",
            dependencies: ["DeliveryWorlds", product("ArgumentParser", "swift-argument-parser")],
            swiftSettings: strict),

        // The command line.
        .executableTarget(
            name: "weir",
            dependencies: [
                "Basics", "Composition", "Delivery", "Demo", "EmbeddedQueue", "EngineModel", "Lab",
                "MessageQueues", "ModelServer", "Telemetry", "WeirConfiguration",
                product("ArgumentParser", "swift-argument-parser"),
                product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio"),
            ],
            swiftSettings: strict),

        tests(
            of: "Telemetry",
            uses: [log, lifecycle, product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio")]),
        tests(of: "WeirConfiguration", uses: ["Basics", product("Yams", "Yams")]),
        tests(of: "Delivery", uses: ["Basics", "InferenceAPI"]),
        tests(of: "MessageQueues", uses: ["Basics", "InferenceAPI", "Delivery"]),
        tests(of: "EmbeddedQueue", uses: ["Basics", "Delivery", "MessageQueues", grdb]),
        tests(of: "AsyncProcessor", uses: ["Basics", "InferenceAPI", "Delivery", "MessageQueues", "EmbeddedQueue"]),
        tests(of: "EngineModel", uses: ["Basics"]),
        tests(of: "Lab", uses: ["Basics", "EngineModel", "Harvest", "Pool", "PoolScheduler"]),
        tests(of: "ModelServer", uses: nio + ["Basics", "EngineModel"]),
        tests(
            of: "Gateway",
            uses: nio + [
                "Basics", "InferenceAPI", "Pool", "Admission", "Harvest", "PoolScheduler", "EngineModel", "ModelServer",
            ]),
        tests(
            of: "FrontDoor",
            uses: nio + ["Basics", "InferenceAPI", "Pool", "Delivery", "MessageQueues", "EmbeddedQueue", "Gateway"]),
        tests(
            of: "Webhooks",
            uses: nio + ["Basics", "Delivery", "MessageQueues", "EmbeddedQueue", log, crypto]),
        tests(of: "DeliveryWorlds"),
        .testTarget(name: "TidyTests", swiftSettings: strict),
        .testTarget(
            name: "DocumentationTests", dependencies: ["Telemetry", "WeirConfiguration"], swiftSettings: strict),
        tests(of: "Basics"),
        tests(of: "InferenceAPI", uses: ["Basics"]),
        tests(of: "Pool", uses: ["Basics"]),
        tests(of: "Routing", uses: ["Basics", "Pool"]),
        tests(of: "Admission", uses: ["Basics"]),
        tests(of: "Harvest", uses: ["Basics", "Pool"]),
        tests(of: "PoolScheduler", uses: ["Basics", "Pool", "Routing", "Admission", "Harvest"]),
    ]
)
