import Basics
import Foundation
import Testing

@testable import InferenceAPI

/// Compares the scanner with Foundation's JSON reader on random documents.
@Suite struct RequestBodyOracleTests {
    @Test(arguments: 0..<40 as Range<UInt64>)
    func agreesWithATreeReader(seed: UInt64) throws {
        var random = RandomBody(generator: SeededGenerator(seed: seed))
        for _ in 0..<50 {
            let text = random.body()
            let body = Array(text.utf8)
            let cuts = (0..<random.below(6)).map { _ in random.below(body.count + 1) }.sorted()
            let scanner = scan(body, cuts: cuts)
            #expect(scanner.malformed == nil, "\(text)")
            let object = try #require(try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any], "\(text)")
            #expect(scanner.facts == Self.facts(of: object, like: scanner.facts), "\(text)")
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func survivesDamagedDocuments(seed: UInt64) {
        var random = RandomBody(generator: SeededGenerator(seed: seed &+ 1000))
        for _ in 0..<50 {
            var body = Array(random.body().utf8)
            for _ in 0...random.below(3) {
                body[random.below(body.count)] = random.pick(Array("{}[]\",:\\0u".utf8) + [0x00, 0xFF, 0xC3])
            }
            let whole = scan(body)
            let cuts = (0..<3).map { _ in random.below(body.count + 1) }.sorted()
            let parts = scan(body, cuts: cuts)
            #expect(whole.facts == parts.facts)
            #expect(whole.malformed == parts.malformed)
            // Whatever a strict reader accepts, the scanner must accept.
            if (try? JSONSerialization.jsonObject(with: Data(body))) is [String: Any] {
                #expect(whole.malformed == nil || whole.malformed?.kind == .modelTooLong, "\(body)")
            }
        }
    }

    /// The facts that a parsed tree tells; `modelRange` and `totalBytes` have no place in a tree.
    private static func facts(of object: [String: Any], like scanned: RequestBodyFacts) -> RequestBodyFacts {
        var facts = RequestBodyFacts()
        facts.model = (object["model"] as? String).flatMap { $0.isEmpty ? nil : $0 }
        facts.modelRange = scanned.modelRange
        facts.totalBytes = scanned.totalBytes
        facts.stream = isTrue(object["stream"])
        facts.includeUsage = isTrue((object["stream_options"] as? [String: Any])?["include_usage"])
        facts.ignoreEOS = isTrue(object["ignore_eos"])
        facts.hasCacheSalt = object["cache_salt"] is String
        let limits = ["max_completion_tokens", "max_tokens", "max_output_tokens"].compactMap { integer(object[$0]) }
        facts.maxOutputTokens = limits.first { $0 >= 0 }
        facts.priority = integer(object["priority"])
        facts.choices = integer(object["n"]).flatMap { $0 > 0 ? $0 : nil }
        for key in ["prompt", "messages", "input", "instructions", "system"] {
            facts.promptBytes += textBytes(object[key])
        }
        for key in ["prompt", "input"] {
            for element in object[key] as? [Any] ?? [] {
                facts.promptTokenIDs += integer(element) == nil ? 0 : 1
                facts.promptTokenIDs += (element as? [Any] ?? []).filter { integer($0) != nil }.count
            }
        }
        return facts
    }

    private static func textBytes(_ value: Any?) -> Int {
        switch value {
        case let text as String: text.utf8.count
        case let array as [Any]: array.reduce(0) { $0 + textBytes($1) }
        case let object as [String: Any]: object.values.reduce(0) { $0 + textBytes($1) }
        default: 0
        }
    }

    /// Tells the booleans of a parsed tree from its numbers.
    private static func isBool(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }

    private static func isTrue(_ value: Any?) -> Bool {
        guard let number = value as? NSNumber, isBool(number) else { return false }
        return number.boolValue
    }

    private static func integer(_ value: Any?) -> Int? {
        guard let number = value as? NSNumber, !isBool(number) else { return nil }
        return String(cString: number.objCType) == "d" ? nil : number.intValue
    }
}
