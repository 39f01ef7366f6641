import Basics
import Foundation
import Testing

@testable import WeirConfiguration

@Suite struct DerivedFormsTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func example() throws -> Configuration {
        let path = Self.root.appendingPathComponent("Examples/weir.yaml").path
        return try Configuration.load(path: path, environment: [:], enginePresets: ["llama-8b-h100"])
    }

    @Test func theExampleFileIsValid() throws {
        let configuration = try example()
        #expect(configuration.pools.map(\.name) == ["chat"])
        #expect(configuration.pools.first?.endpoints.count == 3)
        #expect(configuration.async?.queues.first?.embedded?.path == "weir-queue.db")
    }

    @Test func theEffectiveFormReadsBackAsTheSameConfiguration() throws {
        var configuration = try example()
        configuration.gateway.listen = ListenAddress(host: "::1", port: 0)
        configuration.gateway.trustedCallers = []
        configuration.pools[0].models = ["null", "1.5", "a: b", "~", "# not a comment"]
        configuration.gateway.accessLog = .file(path: "/tmp/${x}$${y}$z")
        configuration.pools[0].harvest.stepShare = 0.333
        configuration.pools[0].engine.kvTokens = 421_000
        configuration.gateway.limits.headTimeout = .milliseconds(1500)
        let text = configuration.effectiveYAML()
        let again = try Configuration.parse(text, file: "effective", environment: [:])
        #expect(again == configuration)
        #expect(text.contains("    headTimeout: 1500ms\n"))
        #expect(text.contains("    requestBodyBytes: 32MiB\n"))
    }

    @Test func secretsAreNeverPrinted() throws {
        var configuration = try example()
        var tenant = Configuration.Tenant()
        tenant.name = "a"
        tenant.keys = [Secret("sk-0123456789abcdef")]
        configuration.gateway.tenants = [tenant]
        configuration.async?.webhooks.secret = Secret("hush-0123456789abcdef-hush")
        let text = configuration.effectiveYAML()
        #expect(text.contains("    keys: ['***']\n") || text.contains("    keys: [\"***\"]\n"))
        var dumped = ""
        dump(configuration, to: &dumped)
        for page in [text, dumped, "\(configuration)", String(reflecting: configuration)] {
            #expect(!page.contains("0123456789abcdef"))
        }
    }

    @Test func theReferenceListsEveryKeyOnceWithItsDefault() throws {
        let rows = ConfigurationReference.rows
        #expect(Set(rows.map(\.keyPath)).count == rows.count)
        func row(_ keyPath: String) throws -> ConfigurationReference.Row {
            try #require(rows.first { $0.keyPath == keyPath })
        }
        #expect(try row("gateway.listen").defaultText == "127.0.0.1:8080")
        #expect(try row("gateway.trustedCallers").defaultText == "127.0.0.0/8, ::1/128")
        #expect(try row("gateway.limits.bufferedBodyBytes").defaultText == "1GiB")
        #expect(try row("pools[].slo.ttft").defaultText == "1s")
        #expect(try row("pools[].harvest.maxInFlightPerEndpoint").defaultText == nil)
        #expect(try row("async.queues[].embedded.path").isRequired)
        #expect(try row("async.queues[].embedded.keepResults").defaultText == "7d")
        #expect(try row("gateway.tenants[].keys").type == "list of secret, at least 16 characters")
        let page = ConfigurationReference.markdown()
        for row in rows where row.keyPath.contains(".") {
            #expect(page.contains("| `\(row.keyPath)` | \(row.type) | "))
        }
        #expect(
            page.contains(
                "| `pools[].scrape.interval` | duration, 50ms or longer | `500ms` | Time between two reads of one endpoint. |"
            ))
        #expect(page.contains("\n## `async`\n"))
    }

    @Test func aConfigurationMadeFromURLsIsWhatTheFileWouldSay() throws {
        let made = try Configuration.forEndpoints(["http://localhost:8000"], queuePath: "q.db")
        let read = try Configuration.parse(made.effectiveYAML(), file: "effective", environment: [:])
        #expect(read == made)
        #expect(made.pools.first?.models == [])
        #expect(made.async?.queues.first?.objective == "batch")
        #expect(try Configuration.forEndpoints(["http://localhost:8000"]).async == nil)
    }

    @Test(arguments: [
        (["localhost:8000"], "--endpoint: expected a URL such as http://10.0.0.7:8000, found \"localhost:8000\""),
        (["http://a", "http://a"], "--endpoint: http://a:80 is already an endpoint of the pool \"default\""),
        ([], "--endpoint: needs at least one endpoint"),
    ])
    func badURLsAreNamed(urls: [String], complaint: String) {
        let error = #expect(throws: ConfigurationError.self) { try Configuration.forEndpoints(urls) }
        #expect(error?.description == complaint)
    }
}

@Suite struct QuantityTests {
    @Test(arguments: [
        ("0", 0), ("0s", 0), ("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("10m", 600), ("1h30m", 5400),
        ("250us", 0.00025), ("7d", 604_800), ("1d12h", 129_600),
    ])
    func durationsAreRead(text: String, seconds: Double) throws {
        let span = try #require(DurationText.parse(text))
        #expect(span == .seconds(seconds))
        #expect(DurationText.parse(DurationText.text(span)) == span)
    }

    @Test(arguments: ["", "30", "-5s", "5 s", "s", "1w", "1..2s", "1e3s", "99999999h", "٣s"])
    func whatIsNoDurationIsRefused(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(arguments: [
        ("512", 512), ("512B", 512), ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("1GiB", 1_073_741_824),
        ("2MB", 2_000_000),
    ])
    func sizesAreRead(text: String, bytes: Int) {
        #expect(SizeText.parse(text) == bytes)
        #expect(SizeText.parse(SizeText.text(bytes)) == bytes)
    }

    @Test(arguments: ["", "KiB", "1kib", "-1KiB", "1 KiB", "1Ki", "999999TiB"])
    func whatIsNoSizeIsRefused(text: String) {
        #expect(SizeText.parse(text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", [UInt8](arrayLiteral: 10, 200, 3, 4), true), ("10.0.0.0/8", [11, 0, 0, 0], false),
        ("192.168.1.128/25", [192, 168, 1, 200], true), ("192.168.1.128/25", [192, 168, 1, 100], false),
        ("0.0.0.0/0", [8, 8, 8, 8], true), ("127.0.0.1", [127, 0, 0, 1], true), ("127.0.0.1", [127, 0, 0, 2], false),
        ("10.0.0.0/8", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3], true),
        ("::1/128", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], true), ("::1/128", [127, 0, 0, 1], false),
        ("fd00::/8", [0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], true),
    ])
    func anAddressIsInsideABlockOrNot(block: String, address: [UInt8], isInside: Bool) throws {
        #expect(try #require(AddressBlock(block)).contains(address) == isInside)
    }

    @Test(arguments: ["", "10.0.0.0/", "10.0.0/8", "10.0.0.0/33", "::1/129", "host/8", "10.0.0.0/8/8"])
    func whatIsNoBlockIsRefused(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test(arguments: [("listn", "listen"), ("LISTEN", "listen"), ("ilsten", "listen"), ("completely", nil)])
    func aSlipOfTheKeyboardIsRecognised(word: String, meant: String?) {
        #expect(Suggestion.nearest(to: word, among: ["threads", "listen"]) == meant)
    }
}
