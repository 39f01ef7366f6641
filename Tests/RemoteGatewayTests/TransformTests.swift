import Basics
import Delivery
import Foundation
import NIOHTTP1
import RemoteGateway
import Testing

@Suite("Request transforms", .timeLimit(.minutes(1)))
struct TransformTests {
    private let transform = GCSMultipartTransform(providers: ["whisper"])

    private func subject(
        _ body: String, provider: String? = "whisper", deadlineSeconds: Double = 1_800_000_000
    ) -> TransformSubject {
        TransformSubject(
            body: Array(body.utf8), metadata: provider.map { ["provider": $0] } ?? [:],
            deadline: Instant(seconds: deadlineSeconds))
    }

    /// The fields of a form by name, read by its own boundary.
    private func fields(_ form: TransformedBody) throws -> [String: String] {
        let mark = try #require(form.contentType.split(separator: "boundary=").last)
        var fields: [String: String] = [:]
        let text = String(decoding: form.body, as: UTF8.self)
        let parts = text.components(separatedBy: "--\(mark)")
        #expect(parts.first == "" && parts.last == "--\r\n")
        for part in parts.dropFirst().dropLast() {
            let halves = part.components(separatedBy: "\r\n\r\n")
            let name = try #require(halves[0].components(separatedBy: "name=\"").last).dropLast()
            // A line end is one character to Swift.
            fields[String(name)] = String(halves.dropFirst().joined(separator: "\r\n\r\n").dropLast())
        }
        return fields
    }

    @Test("the signed URL becomes the field url, and the other members fields of their names")
    func form() throws {
        let body = #"""
            {"model":"whisper-1","gcs_uri":"https://storage/x?a=1&b=2","file_base64":"","temperature":0.50,
             "list":[1, {"a":"]"}],"text":"l\u00e9 \"q\" \ud83d\ude00","flag":true,"none":null,"model":"whisper-2"}
            """#
        let form = try #require(try transform.transform(subject(body)))
        #expect(form.contentType.hasPrefix("multipart/form-data; boundary="))
        #expect(
            try fields(form) == [
                "url": "https://storage/x?a=1&b=2", "model": "whisper-2", "temperature": "0.50",
                "list": #"[1, {"a":"]"}]"#, "text": "l\u{e9} \"q\" \u{1F600}", "flag": "true", "none": "",
            ])
        #expect(try transform.transform(subject(body)) == form)
    }

    @Test("other providers' messages, and those without a gcs_uri, stay as they are")
    func notItsBusiness() throws {
        let body = #"{"gcs_uri":"https://x"}"#
        #expect(try transform.transform(subject(body, provider: "ocr")) == nil)
        #expect(try transform.transform(subject(body, provider: nil)) == nil)
        for without in [#"{"a":1}"#, #"{"gcs_uri":""}"#, #"{"gcs_uri":null}"#, #"{"gcs_uri":5}"#, "{}"] {
            #expect(try transform.transform(subject(without)) == nil)
        }
    }

    @Test(
        "what cannot be sent is the message's fault",
        arguments: [
            #"{"gcs_uri":"https://x","file_base64":"AAAA"}"#, "[]", #"{"gcs_uri":"https://x""#, #"{"gcs_uri"}"#, "",
            "{} {}",
            #"{"gcs_uri":"\ud8"}"#, #"{"a":}"#, #"{"a":[}"#,
        ])
    func faults(body: String) {
        #expect(throws: TransformFault.self) { try transform.transform(subject(body)) }
    }

    @Test(
        "a signed URL must outlive the deadline",
        arguments: [
            // 1_800_000_000 is 2027-01-15 08:00:00 UTC.
            ("X-Goog-Date=20270115T070000Z&X-Goog-Expires=3600", false),
            ("X-Goog-Date=20270115T070000Z&X-Goog-Expires=3601", true), ("Expires=1800000000", false),
            ("Expires=1800000001", true), ("Expires=never", true),
            ("X-Goog-Date=yesterday&X-Goog-Expires=1", true), ("", true),
            ("X-Goog-Date=20240229T235959Z&X-Goog-Expires=1", false),
        ])
    func expiry(query: String, passes: Bool) throws {
        let body = #"{"gcs_uri":"https://storage/x?\#(query)"}"#
        if passes {
            #expect(try transform.transform(subject(body)) != nil)
        } else {
            #expect(throws: TransformFault.self) { try transform.transform(subject(body)) }
        }
    }

    @Test("a form arrives with its own content type; a faulty message is answered here and not sent")
    func dispatched() async throws {
        let server = try await TestServer.start()
        let configuration = try TransformConfiguration(
            name: "w", type: "gcs_uri_multipart", providers: ["whisper"])
        try await withDispatcher(
            to: "http://127.0.0.1:\(server.port)", transforms: [configuration.transform]
        ) { dispatcher in
            async let outcome = dispatcher.perform(
                request(
                    #"{"gcs_uri":"https://x"}"#, headers: ["content-type": "application/json"],
                    metadata: ["provider": "whisper"])
            ) {}
            let arrival = await server.arrivals.next()
            #expect(arrival.head.headers["content-type"].count == 1)
            #expect(arrival.header("content-type")?.hasPrefix("multipart/form-data") == true)
            #expect(arrival.text.contains("name=\"url\"\r\n\r\nhttps://x\r\n"))
            arrival.answer("{}")
            let sent = try answer(await outcome)
            #expect(sent.statusCode == 200)
            let faulty = request(
                #"{"gcs_uri":"https://x","file_base64":"A"}"#, metadata: ["provider": "whisper"])
            let refused = try answer(await dispatcher.perform(faulty) {})
            #expect(refused.statusCode == 400)
            #expect(server.arrivals.count == 0)
        }
        try await server.stop()
    }

    @Test("a configuration with an unknown type or without providers is refused")
    func configuration() {
        #expect(throws: RemoteGatewayError.self) { try TransformConfiguration(name: "x", type: "y", providers: ["a"]) }
        for providers in [[], [""]] {
            #expect(throws: RemoteGatewayError.self) {
                try TransformConfiguration(name: "x", type: "gcs_uri_multipart", providers: providers)
            }
        }
    }
}
