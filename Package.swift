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
func room(_ name: String, uses: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: uses, exclude: exclude, swiftSettings: strict)
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
let tls = product("NIOSSL", "swift-nio-ssl")
let httpClient = product("AsyncHTTPClient", "async-http-client")
let jwt = product("JWTKit", "jwt-kit")
let grpc: [Target.Dependency] = [
    product("GRPCCore", "grpc-swift-2"), product("GRPCNIOTransportHTTP2", "grpc-swift-nio-transport"),
    product("GRPCProtobuf", "grpc-swift-protobuf"), product("SwiftProtobuf", "swift-protobuf"),
]
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
        .package(url: "https://github.com/apple/swift-nio-http2", exact: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", exact: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", exact: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", exact: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", exact: "5.7.1"),
    ],
    targets: [
        // Decisions: pure, no clock, no socket.
        room("Basics"),
        room("InferenceAPI", uses: ["Basics"]),
        room("Pool", uses: ["Basics", "InferenceAPI"]),
        room("PrefixIndex", uses: ["Basics"]),
        room("Prediction", uses: ["Basics", "Pool"]),
        room("Routing", uses: ["Basics", "Pool"]),
        room("Admission", uses: ["Basics", heap, deque]),
        room("Harvest", uses: ["Basics", "Pool", "Prediction"]),
        room(
            "PoolScheduler",
            uses: [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest", deque,
            ]),
        room("Delivery", uses: ["Basics", "InferenceAPI", deque, heap]),

        room("DispatchGates", uses: ["Basics"]),
        room("WorkerPools", uses: ["Basics", "DispatchGates", deque]),

        // The lab: the same decisions around a model of an engine, in virtual time.
        room("EngineModel", uses: ["Basics", heap]),
        room("ReportPage", uses: ["Basics"]),
        room(
            "Lab",
            uses: [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest",
                "PoolScheduler", "EngineModel", "DispatchGates", "ReportPage", deque,
            ]),

        // Effects.
        room("MessageQueues", uses: ["Basics", "InferenceAPI", "Delivery"]),
        room("EmbeddedQueue", uses: ["Basics", "Delivery", "MessageQueues", grdb]),
        room("AsyncProcessor", uses: ["Basics", "Delivery", "MessageQueues"]),
        room("RedisClient", uses: nio + ["Basics", deque, tls, crypto]),
        room("RedisQueue", uses: ["Basics", "InferenceAPI", "Delivery", "MessageQueues", "RedisClient"]),
        room(
            "GoogleAuth",
            uses: ["Basics", httpClient, jwt, product("NIOCore", "swift-nio"), product("NIOHTTP1", "swift-nio")]),
        room(
            "PubSubQueue", uses: grpc + ["Basics", "Delivery", "MessageQueues", deque, heap, log], exclude: ["Protos"]),
        room(
            "GateSources",
            uses: nio + ["Basics", "Pool", "DispatchGates", "RedisClient", httpClient, tls]),
        room(
            "RemoteGateway",
            uses: nio + ["Basics", "InferenceAPI", "Delivery", "MessageQueues", "AsyncProcessor", httpClient, tls]),
        room(
            "KVEvents",
            uses: [
                "Basics", "InferenceAPI", product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio"),
            ]),
        room("AsyncFlags", uses: ["Basics", "DispatchGates", "WeirConfiguration"]),
        room(
            "PooledDispatch",
            uses: ["Basics", "Delivery", "DispatchGates", "WorkerPools", "MessageQueues", "AsyncProcessor"]),
        room("WeirConfiguration", uses: ["Basics", "DispatchGates", product("Yams", "Yams")]),
        room("EndpointPickerConfiguration", uses: ["Basics", "Pool", "Routing", product("Yams", "Yams")]),
        room(
            "Telemetry",
            uses: [
                log, lifecycle, product("Hummingbird", "hummingbird"), product("HummingbirdCore", "hummingbird"),
                product("HTTPTypes", "swift-http-types"), product("NIOCore", "swift-nio"),
                product("NIOPosix", "swift-nio"),
            ]),

        room(
            "Gateway",
            uses: nio + [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest",
                "PoolScheduler", crypto, deque,
            ]),
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
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "EndpointPickerConfiguration",
                "Admission", "Harvest", "EngineModel", "Delivery",
                "MessageQueues", "EmbeddedQueue", "RedisClient", "RedisQueue", "PubSubQueue", "GoogleAuth",
                "AsyncProcessor",
                "PooledDispatch",
                "DispatchGates", "WorkerPools", "GateSources", "RemoteGateway", "FrontDoor", "Gateway", "PoolScheduler",
                "KVEvents", "Telemetry", "Webhooks", "WeirConfiguration", log, lifecycle,
                product("NIOCore", "swift-nio"),
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
                "Basics", "InferenceAPI", "Pool", "Prediction", "Admission", "Harvest", "PoolScheduler", "Delivery",
                "MessageQueues", "EmbeddedQueue", heap, grdb,
            ]),
        .executableTarget(
            name: "delivery-worlds",
            dependencies: ["DeliveryWorlds", product("ArgumentParser", "swift-argument-parser")],
            swiftSettings: strict),

        // What the pure cores cost.
        .executableTarget(
            name: "micro-benchmarks",
            dependencies: [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "PoolScheduler",
            ],
            swiftSettings: strict),

        // The command line.
        .executableTarget(
            name: "weir",
            dependencies: [
                "AsyncFlags", "Basics", "Composition", "Delivery", "Demo", "EmbeddedQueue", "EngineModel", "GoogleAuth",
                "Lab", "MessageQueues", "ModelServer", "PubSubQueue", "RedisClient", "RedisQueue", "Telemetry",
                "WeirConfiguration", log,
                product("ArgumentParser", "swift-argument-parser"),
                product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio"),
            ],
            swiftSettings: strict),

        .target(name: "TestProcesses", path: "Tests/TestProcesses", swiftSettings: strict),
        tests(
            of: "Telemetry",
            uses: [log, lifecycle, product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio")]),
        tests(of: "WeirConfiguration", uses: ["Basics", "DispatchGates", product("Yams", "Yams")]),
        tests(of: "AsyncFlags", uses: ["Basics", "DispatchGates", "WeirConfiguration"]),
        tests(of: "DispatchGates", uses: ["Basics"]),
        tests(of: "WorkerPools", uses: ["Basics", "DispatchGates"]),
        tests(
            of: "PooledDispatch",
            uses: ["Basics", "Delivery", "DispatchGates", "WorkerPools", "AsyncProcessor", "MessageQueues"]),
        tests(
            of: "Composition",
            uses: [
                "Basics", "InferenceAPI", "Delivery", "MessageQueues", "AsyncProcessor", "DispatchGates", "GoogleAuth",
                "KVEvents", "Telemetry", "WorkerPools", "Webhooks", "Admission", "Gateway", "Harvest", "PoolScheduler",
                "Routing",
                "WeirConfiguration", "Pool", "PrefixIndex", "Prediction", log,
            ]),
        tests(of: "RedisClient", uses: nio + ["TestProcesses", "Basics"]),
        tests(
            of: "RedisQueue",
            uses: nio + ["TestProcesses", "AsyncProcessor", "Basics", "Delivery", "MessageQueues", "RedisClient"]),
        tests(
            of: "KVEvents",
            uses: [
                "TestProcesses", "Basics", "InferenceAPI", product("NIOCore", "swift-nio"),
                product("NIOPosix", "swift-nio"),
            ]),
        tests(of: "PubSubQueue", uses: ["TestProcesses", "Basics", "Delivery", "MessageQueues"]),
        tests(of: "GoogleAuth", uses: nio + ["TestProcesses", "Basics", jwt]),
        tests(of: "GateSources", uses: nio + ["TestProcesses", "Basics", "DispatchGates", "RedisClient"]),
        tests(
            of: "RemoteGateway",
            uses: nio + [
                "TestProcesses", "Basics", "InferenceAPI", "Pool", "Admission", "Harvest", "PoolScheduler",
                "EngineModel", "ModelServer",
                "Gateway", "Delivery", "MessageQueues", "AsyncProcessor", tls, product("NIOHTTP2", "swift-nio-http2"),
            ]),
        tests(of: "Delivery", uses: ["Basics", "InferenceAPI"]),
        tests(of: "MessageQueues", uses: ["Basics", "InferenceAPI", "Delivery"]),
        tests(of: "EmbeddedQueue", uses: ["Basics", "Delivery", "MessageQueues", grdb]),
        tests(of: "AsyncProcessor", uses: ["Basics", "InferenceAPI", "Delivery", "MessageQueues", "EmbeddedQueue"]),
        tests(of: "EngineModel", uses: ["Basics"]),
        tests(
            of: "Lab",
            uses: [
                "Basics", "InferenceAPI", "DispatchGates", "EngineModel", "Harvest", "Pool", "PoolScheduler",
                "Prediction",
                "Routing",
            ]),
        tests(of: "ModelServer", uses: nio + ["Basics", "EngineModel"]),
        tests(
            of: "Gateway",
            uses: nio + [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Routing", "Admission", "Harvest", "PoolScheduler",
                "EngineModel",
                "ModelServer",
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
        tests(of: "PrefixIndex", uses: ["Basics"]),
        tests(of: "Prediction", uses: ["Basics", "Pool"]),
        tests(of: "EndpointPickerConfiguration", uses: ["Basics", "Routing"]),
        tests(of: "Harvest", uses: ["Basics", "Pool", "Prediction"]),
        tests(
            of: "PoolScheduler",
            uses: [
                "Basics", "InferenceAPI", "Pool", "PrefixIndex", "Prediction", "Routing", "Admission", "Harvest",
            ]),
    ]
)
