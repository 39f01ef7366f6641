import Basics
import MessageQueues
import Testing

@testable import Webhooks

@Suite struct WebhookSignerTests {
    private func webhook(id: String, generation: String = "1", tenant: String = "") -> PendingWebhook {
        PendingWebhook(
            number: 1, id: id, generation: generation, tenant: tenant, url: "https://a/", tries: 0, finished: .zero,
            line: nil)
    }

    /// The example that the libraries of the Standard Webhooks specification are tested with.
    @Test func theSpecificationsExampleIsSignedAsItSays() throws {
        let signer = try #require(WebhookSigner(secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        let signature = signer.signature(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: "1614265330", body: Array(#"{"test": 2432232314}"#.utf8))
        #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test func aSecretThatIsNoBase64IsItsOwnKeyUnlessItClaimsToBe() throws {
        let plain = try #require(WebhookSigner(secret: "a plain secret of many letters"))
        let encoded = try #require(
            WebhookSigner(secret: "whsec_" + Base64.text(Array("a plain secret of many letters".utf8))))
        let fields = plain.fields(for: webhook(id: "a"), unixSeconds: 5, body: [1, 2])
        #expect(fields == encoded.fields(for: webhook(id: "a"), unixSeconds: 5, body: [1, 2]))
        #expect(fields.timestamp == "5")
        #expect(WebhookSigner(secret: "whsec_not base64") == nil)
    }

    @Test func everyUseOfAnIDHasAnIdentifierOfItsOwnThatFitsInAField() {
        let webhooks = [
            webhook(id: "a"), webhook(id: "a", generation: "2"), webhook(id: "a", tenant: "t"),
            webhook(id: "ä\r\n: x.y"),
            webhook(id: "ta"),
        ]
        let identifiers = webhooks.map(WebhookSigner.identifier(of:))
        #expect(Set(identifiers).count == webhooks.count)
        #expect(identifiers == webhooks.map(WebhookSigner.identifier(of:)))
        for identifier in identifiers {
            #expect(identifier.count == 36 && identifier.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2E })
        }
    }
}
